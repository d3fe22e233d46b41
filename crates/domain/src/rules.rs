//! The names of all rules by which a command can be refused: constants, so that
//! process managers and importers that react to one cannot miss it. They are the
//! last part of a problem document's `type`.

macro_rules! rules {
    ($($name:ident = $text:literal;)+) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: &str = $text;
        )+

        /// Every rule, in order.
        pub const ALL: &[&str] = &[$($name),+];
    };
}

rules! {
    // tidy: sorted
    ADVERSE_EVENT_ALREADY_REPORTED = "adverse-event-already-reported";
    ADVERSE_EVENT_ENDED_BEFORE_ONSET = "adverse-event-ended-before-onset";
    ADVERSE_EVENT_NOT_FOUND = "adverse-event-not-found";
    ALERT_ID_FOREIGN = "alert-id-foreign";
    ALERT_NOT_DUE = "alert-not-due";
    ALERT_NOT_FOUND = "alert-not-found";
    ALERT_RESOLVED = "alert-resolved";
    ARMS_FIXED = "arms-fixed";
    ARM_EXISTS = "arm-exists";
    ARM_NOT_FOUND = "arm-not-found";
    BLANK = "blank";
    CONSENT_ALREADY_SIGNED = "consent-already-signed";
    CONSENT_FORM_EXISTS = "consent-form-exists";
    CONSENT_FORM_NOT_IN_FORCE = "consent-form-not-in-force";
    CONSENT_FORM_NOT_PRESENTED = "consent-form-not-presented";
    CONSENT_FORM_PRESENTED_LATER = "consent-form-presented-later";
    CONSENT_NOT_IN_FORCE = "consent-not-in-force";
    CONSENT_SIGNED_LATER = "consent-signed-later";
    CONSENT_WITHDRAWN_BEFORE_SIGNED = "consent-withdrawn-before-signed";
    CONSENT_WITHDRAWN_LATER = "consent-withdrawn-later";
    CONTROL_CHARACTER = "control-character";
    CRITERION_NOT_JUDGED = "criterion-not-judged";
    DEAD_LETTER_DROPPED = "dead-letter-dropped";
    DEAD_LETTER_NOT_FOUND = "dead-letter-not-found";
    DUPLICATE = "duplicate";
    IN_THE_FUTURE = "in-the-future";
    MALFORMED = "malformed";
    NOTIFICATION_ALREADY_REQUESTED = "notification-already-requested";
    OUT_OF_RANGE = "out-of-range";
    PATIENT_ALREADY_REGISTERED = "patient-already-registered";
    PATIENT_NOT_FOUND = "patient-not-found";
    PROTOCOL_NUMBER_TAKEN = "protocol-number-taken";
    QUESTIONNAIRE_EXISTS = "questionnaire-exists";
    QUESTIONNAIRE_NOT_FOUND = "questionnaire-not-found";
    REPORT_ALREADY_SUBMITTED = "report-already-submitted";
    REPORT_COMPLETED_BEFORE_STARTED = "report-completed-before-started";
    REPORT_NOT_FOUND = "report-not-found";
    SITE_ALREADY_ACTIVE = "site-already-active";
    SITE_ALREADY_REGISTERED = "site-already-registered";
    SITE_CAP_REACHED = "site-cap-reached";
    SITE_CODE_TAKEN = "site-code-taken";
    SITE_NOT_ACTIVE = "site-not-active";
    SITE_NOT_FOUND = "site-not-found";
    SITE_OF_ANOTHER_TRIAL = "site-of-another-trial";
    SUBJECT_ALREADY_SCREENED = "subject-already-screened";
    SUBJECT_ENDED = "subject-ended";
    SUBJECT_NOT_ELIGIBLE = "subject-not-eligible";
    SUBJECT_NOT_ENROLLED = "subject-not-enrolled";
    SUBJECT_NOT_FOUND = "subject-not-found";
    SUBJECT_NOT_IN_SCREENING = "subject-not-in-screening";
    SUBJECT_NOT_RANDOMISED = "subject-not-randomised";
    SUBJECT_NUMBER_TAKEN = "subject-number-taken";
    SUBJECT_STAGE_LATER = "subject-stage-later";
    TOO_EARLY = "too-early";
    TOO_LONG = "too-long";
    TOO_MANY = "too-many";
    TRIAL_ALREADY_REGISTERED = "trial-already-registered";
    TRIAL_CLOSED = "trial-closed";
    TRIAL_FULL = "trial-full";
    TRIAL_NOT_FOUND = "trial-not-found";
    TRIAL_NOT_OPEN = "trial-not-open";
    TRIAL_NOT_READY = "trial-not-ready";
    TRIAL_WITHOUT_CRITERIA = "trial-without-criteria";
    VISIT_ALREADY_RECORDED = "visit-already-recorded";
    // tidy: end
}
