//! What the clinic's rules decide: pure and synchronous.
//!
//! One folder per context, with the same names as in `events` and `views`; one
//! file per aggregate, always in the same order: state, commands, reasons to
//! refuse, decide, evolve. A process manager is a file `<name>_process.rs` of
//! its context. All of them stand in this file, and so does every command, in
//! [`commands`]. What bears the name of its context is found there directly:
//! `consent::SignConsent`. Time and ids come in with the command.

#![expect(clippy::module_inception, reason = "an aggregate may bear the name of its context")]

#[macro_use]
pub mod rules;

pub mod place;
pub mod process;
pub mod validate;
mod when;

/// When something happened: a time that is given and has come, or else the time at which the command is decided.
///
/// In JSON it is a time with its offset, a local time of the place, a day, or null or absent for now.
pub use when::When;

/// What an aggregate is written with.
pub mod prelude {
    pub use chrono::{DateTime, NaiveDate, Utc};
    pub use decider::{Aggregate, Command, Context, Decision, Facts, Halt, Need};
    pub use events::change::{Change, OptionalChange};
    pub use events::envelope::References;
    pub use events::ids::*;
    pub use events::time_zone::TimeZone;
    pub use events::values::{Blinded, PartialDate, Personal, Prose, Quantity};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};

    pub use crate::place::Place;
    pub use crate::validate::{self, Invalid, NotFound, past_day};
    pub use crate::when::When;
}

/// Accounts, what they may do, and what they tried.
pub mod access {
    pub mod account;
    mod authorised;
    pub mod disclosure;
    pub mod grant;
    pub mod incident;
    pub(crate) mod outlook;

    pub use self::authorised::*;
}
/// The consent of patients.
pub mod consent {
    mod commands;
    mod consent;
    mod correction;
    pub mod participant;

    pub use self::commands::*;
    pub use self::consent::*;
    pub use self::correction::*;
}
/// The way of a patient into and through a trial.
pub mod enrolment {
    pub mod casebook;
    pub mod eligibility;
    pub mod eligibility_check;
    pub mod enrolment_process;
    pub mod ledger;
    pub mod subject;
    pub mod withdrawal_process;
}
/// Patient-reported outcomes.
pub mod epro {
    mod correction;
    pub mod definition;
    pub mod instruments;
    pub mod report;
    pub mod scoring;
}
/// What everybody may read.
pub mod knowledge {
    pub mod article;
}
/// Messages to people.
pub mod messaging {
    mod built_in;
    pub mod contact;
    pub mod delivery;
    pub mod message;
    pub mod notification;
    pub mod template;
}
/// Running the program.
pub mod operation {
    pub mod dead_letter;
}
/// Patients, across trials.
pub mod patient {
    mod commands;
    pub mod national_id;
    mod patient;

    pub use self::commands::*;
    pub use self::patient::*;
}
/// Wearables and what they measure.
pub mod readings {
    pub mod device;
    pub mod receipt;
    pub mod rules;
    pub mod silence_process;
    pub mod terms;
}
/// Adverse events and alerts.
pub mod safety {
    pub mod adverse_event;
    pub mod alert;
    pub mod alert_process;
    pub(crate) mod alert_rule;
}
/// Sites.
pub mod site {
    mod site;

    pub use self::site::*;
}
/// Trials as a whole.
pub mod trial {
    mod commands;
    pub mod protocol_number;
    mod trial;

    pub use self::commands::*;
    pub use self::trial::*;
}
/// Visits.
pub mod visit {
    mod visit;

    pub use self::visit::*;
}

/// Every command of the system, in one list: addresses, OpenAPI and process
/// managers are made from it.
pub mod commands {
    #[macro_use]
    mod list;
    mod parse;
    mod stored;

    pub use events::access::Duty;
    pub use list::CommandSpec;
    pub use parse::BodyError;

    commands! {
        "trials" of trial {
            RegisterTrial by Conduct at "register-trial", creates: "Registers a trial.";
            AddArm by Conduct at "add-arm": "Adds an arm to a trial.";
            DefineEligibility by Conduct at "define-eligibility": "Defines the eligibility criteria, in place of earlier ones.";
            PublishConsentForm by Conduct at "publish-consent-form": "Publishes a consent form.";
            DefineQuestionnaire by Conduct at "define-questionnaire": "Defines a questionnaire.";
            OpenEnrolment by Conduct at "open-enrolment": "Opens a trial for enrolment, at first or after a pause.";
            PauseEnrolment by Conduct at "pause-enrolment": "Pauses enrolment.";
            CloseEnrolment by Conduct at "close-enrolment": "Closes enrolment for good.";
        }
        "sites" of site {
            RegisterSite by Conduct at "register-site", creates: "Registers a site for a trial.";
            ActivateSite by Conduct at "activate-site": "Lets a site enrol, at first or after a suspension.";
            SuspendSite by Conduct at "suspend-site": "Keeps a site from screening and enrolling for now.";
        }
        "patients" of patient {
            RegisterPatient by SiteWork at "register-patient", creates: "Registers a person.";
            AdmitPatient by SiteWork at "admit-patient": "Has a further site take care of a person, who shows their national id there.";
            CorrectDemographics by SiteWork at "correct-demographics": "Corrects what was recorded of a person; the old values stay in the history.";
            RecordObservation by SiteWork at "record-observation": "Records something that was observed about a person.";
            CorrectObservation by SiteWork at "correct-observation": "Corrects an observation; the old values stay in the history.";
        }
        "patients" of consent {
            PresentConsentForm by SiteWork at "present-consent-form": "Shows a consent form to the patient.";
            SignConsent by Participation at "sign-consent", signed: "Signs the consent form that was presented.";
            DeclineConsent by Participation at "decline-consent": "Records that the patient did not want to sign the form that was presented.";
            WithdrawConsent by Participation at "withdraw-consent": "Withdraws a consent.";
            CorrectConsent by SiteWork at "correct-consent": "Corrects what was recorded of a signature or a withdrawal; the old values stay in the history.";
        }
        "patients" of enrolment::subject {
            ScreenPatient by SiteWork at "screen-patient": "Screens a patient for a trial.";
        }
        "subjects" of enrolment::subject {
            RecordEligibility by SiteWork at "record-eligibility": "Assesses the trial's criteria on what is known about the patient.";
            FailScreening by SiteWork at "fail-screening": "Ends screening without enrolment.";
            EnrolSubject by SiteWork at "enrol-subject": "Enrols an eligible subject and takes a place.";
            RandomiseSubject by Allocation at "randomise-subject": "Allocates an enrolled subject to an arm.";
            DiscontinueSubject by SiteWork at "discontinue-subject": "Ends a subject's participation before completion.";
            CompleteSubject by SiteWork at "complete-subject": "Records that a subject completed the trial.";
            UnblindSubject by Unblinding at "unblind-subject", signed: "Breaks the blind for one subject.";
            CorrectSubjectEnd by SiteWork at "correct-subject-end": "Corrects how or when participation ended; the old values stay in the history.";
        }
        "reports" of epro::report {
            SubmitReport by Participation at "submit-report", creates: "Submits a filled-in questionnaire.";
            CorrectReport by Participation at "correct-report": "Corrects a report; the old answers stay in the history.";
        }
        "adverse-events" of safety::adverse_event {
            ReportAdverseEvent by SiteWork at "report-adverse-event", creates: "Reports an adverse event.";
            UpdateAdverseEvent by SiteWork at "update-adverse-event": "Adds to what is known of an adverse event.";
        }
        "trials" of readings::rules {
            DefineReadingRules by Conduct at "define-reading-rules": "Defines the rules by which readings raise alerts, in place of earlier ones.";
        }
        "subjects" of readings::device {
            AssignDevice by SiteWork at "assign-device": "Gives a wearable to a subject.";
        }
        "devices" of readings::device {
            ReturnDevice by SiteWork at "return-device": "Takes a wearable back.";
        }
        "patients" of readings::receipt {
            BeginUpload by Participation at "begin-upload", enclosed: "Asks whether readings of a patient may be sent.";
        }
        "devices" of readings::receipt {
            ReceiveReadings by Participation at "receive-readings", enclosed: "Records readings that were stored.";
            ReleaseReadings by SiteWork at "release-readings": "Says that readings of an unknown device are the subject's.";
            DiscardReadings by SiteWork at "discard-readings": "Says that readings of an unknown device are not the subject's: they are deleted.";
        }
        "alerts" of safety::alert {
            RaiseAlert by Process at "raise-alert": "Raises an alert.";
            AcknowledgeAlert by Safety at "acknowledge-alert" or "acknowledge": "Takes notice of an alert.";
            EscalateAlert by Process at "escalate-alert" or "escalate": "Tells the next level, because nobody acknowledged in time.";
            ResolveAlert by Safety at "resolve-alert" or "resolve": "Records that what had to be done was done.";
        }
        "visits" of visit {
            RecordVisit by SiteWork at "record-visit", creates: "Records that a subject came to a visit.";
            CorrectVisit by SiteWork at "correct-visit": "Corrects what was recorded of a visit; the old values stay in the history.";
        }
        "patients" of messaging::contact {
            SetContactPreferences by Participation at "set-contact-preferences": "Says how the person is reached and wishes to be, in place of what was said before.";
        }
        "accounts" of messaging::contact {
            SetAccountContact by Access at "set-contact": "Says how the account is reached, in place of what was said before.";
        }
        "trials" of messaging::template {
            DefineMessageTemplate by Conduct at "define-message-template": "Defines the text of a message in one language, in place of an earlier one.";
        }
        "notifications" of messaging::notification {
            RequestNotification by Messaging at "request-notification", creates, accepted: "Has a role, a person, or everybody who takes part told something.";
            AddressNotification by Process at "address-notification": "Queues messages to some of those who are told.";
        }
        "messages" of messaging::message {
            PostponeMessage by Process at "postpone-message": "Has a message wait for the end of quiet hours.";
            BeginSending by Process at "begin-sending": "Records that a message is being handed to a provider that would send it twice.";
            RecordSending by Process at "record-sending": "Records what became of an attempt to send a message.";
            SkipMessage by Process at "skip-message": "Records that a message is not sent.";
            RecordReceipt by Process at "record-receipt": "Records what the provider tells of a message that it took.";
            RetryMessage by Operation at "retry-message" or "retry": "Has a message sent again that was given up or may not have been sent.";
        }
        "articles" of knowledge::article {
            PublishArticle by Conduct at "publish-article", creates: "Publishes an article, which everybody may read.";
            ReviseArticle by Conduct at "revise-article": "Changes what an article says, or adds a language.";
            RetireArticle by Conduct at "retire-article": "Takes an article away.";
        }
        "accounts" of access::account {
            RegisterAccount by Access at "register-account", creates: "Opens an account.";
            LinkIdentity by Access at "link-identity": "Has the tokens of another issuer speak for the account.";
            UnlinkIdentity by Access at "unlink-identity": "Has them speak for it no longer.";
            SuspendAccount by Access at "suspend-account": "Has an account do nothing for now.";
            ReinstateAccount by Access at "reinstate-account": "Lets a suspended or locked account act again.";
            CloseAccount by Access at "close-account": "Closes an account for good.";
            LockAccount by Process at "lock-account": "Locks an account by rule.";
        }
        "accounts" of access::grant {
            GrantRole by Access at "grant-role": "Gives an account a role in a scope.";
            RevokeRole by Access at "revoke-role": "Takes a role from an account.";
            DelegateDuties by Delegation at "delegate-duties": "Delegates duties at a site.";
            EndDelegation by Delegation at "end-delegation": "Ends a delegation of duties.";
        }
        "disclosures" of access::disclosure {
            RecordDisclosure by Process at "record-disclosure": "Records that somebody is shown something about a person.";
        }
        "incidents" of access::incident {
            RecordIncident by Process at "record-incident": "Records that somebody tried what they may not.";
        }
        "dead-letters" of operation::dead_letter {
            RecordDeadLetter by Process at "record-dead-letter": "Records that a step failed for good.";
            RetryDeadLetter by Operation at "retry-dead-letter" or "retry": "Has a step tried again.";
            DropDeadLetter by Operation at "drop-dead-letter" or "drop": "Gives a step up.";
        }
    }
}
