//! Every command of the system, in one list: addresses, OpenAPI and process
//! managers are made from it.

mod authority;
mod parse;
mod stored;

use decider::{Command, Context, Decide, Decision, Facts, Halt, Need};
use events::ids::{StreamId, StreamKey, StreamType};
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use uuid::Uuid;

use self::parse::parse;
use crate::consent::{PresentConsentForm, SignConsent, WithdrawConsent};
use crate::enrolment::subject::{
    CompleteSubject, DiscontinueSubject, EnrolSubject, FailScreening, RandomiseSubject, RecordEligibility,
    ScreenPatient,
};
use crate::epro::report::{CorrectReport, SubmitReport};
use crate::messaging::notification::RequestNotification;
use crate::operation::dead_letter::{DropDeadLetter, RecordDeadLetter, RetryDeadLetter};
use crate::patient::{RecordObservation, RegisterPatient};
use crate::safety::adverse_event::{ReportAdverseEvent, UpdateAdverseEvent};
use crate::safety::alert::{AcknowledgeAlert, EscalateAlert, RaiseAlert, ResolveAlert};
use crate::site::{ActivateSite, RegisterSite, SuspendSite};
use crate::trial::{
    AddArm, CloseEnrolment, DefineEligibility, DefineQuestionnaire, OpenEnrolment, PauseEnrolment, PublishConsentForm,
    RegisterTrial,
};
use crate::visit::RecordVisit;

pub use authority::Duty;
pub use parse::BodyError;

/// What is known of a command without carrying it out.
pub struct CommandSpec {
    /// The name, such as `SignConsent`.
    pub name: &'static str,
    /// The collection in the command's address, such as `patients`.
    pub collection: &'static str,
    /// The last part of the address, such as `sign-consent`.
    pub path: &'static str,
    /// A shorter last part that means the same.
    pub alias: Option<&'static str>,
    /// Whether the command brings its target into being.
    pub creates: bool,
    /// Whose duty it is; tells which roles may send it.
    pub duty: Duty,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The kind of stream that the address names.
    pub target: StreamType,
    /// The body's JSON Schema.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads the body of a command to the target with this id.
    pub parse: fn(Uuid, &[u8]) -> Result<AnyCommand, BodyError>,
}

macro_rules! commands {
    ($($collection:literal { $($command:ident by $duty:ident at $path:literal $(or $alias:literal)? $(, $creates:ident)?: $summary:literal;)+ })+) => {
        /// Any command with its target.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(tag = "command")]
        pub enum AnyCommand { $($(
            #[doc = $summary]
            $command {
                /// The id in the command's address.
                target: <$command as Command>::Target,
                /// The command's fields.
                body: $command,
            },
        )+)+ }

        $($(impl From<(<$command as Command>::Target, $command)> for AnyCommand {
            fn from((target, body): (<$command as Command>::Target, $command)) -> Self {
                AnyCommand::$command { target, body }
            }
        })+)+

        impl AnyCommand {
            /// The name, such as `SignConsent`.
            pub const fn name(&self) -> &'static str {
                match self { $($(AnyCommand::$command { .. } => <$command as Command>::NAME,)+)+ }
            }

            /// The stream that the address names.
            pub fn target(&self) -> StreamId {
                match self { $($(AnyCommand::$command { target, .. } => target.stream(),)+)+ }
            }
        }

        impl Decide for AnyCommand {
            fn reads(&self) -> Vec<Need> {
                match self { $($(AnyCommand::$command { target, body } => body.reads(*target),)+)+ }
            }

            fn decide(&self, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
                match self { $($(
                    AnyCommand::$command { target, body } => body.decide(*target, context, facts),
                )+)+ }
            }
        }

        /// Every command, by collection.
        pub static COMMANDS: &[CommandSpec] = &[$($(CommandSpec {
            name: <$command as Command>::NAME,
            collection: $collection,
            path: $path,
            alias: commands!(@alias $($alias)?),
            creates: commands!(@creates $($creates)?),
            duty: Duty::$duty,
            summary: $summary,
            target: <<$command as Command>::Target as StreamKey>::STREAM_TYPE,
            schema: |generator| generator.subschema_for::<$command>(),
            parse: |target, bytes| {
                Ok(AnyCommand::$command { target: target.into(), body: parse(bytes)? })
            },
        },)+)+];
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
    (@creates) => { false };
    (@creates $creates:ident) => { true };
}

commands! {
    "trials" {
        RegisterTrial by Conduct at "register-trial", creates: "Registers a trial.";
        AddArm by Conduct at "add-arm": "Adds an arm to a trial.";
        DefineEligibility by Conduct at "define-eligibility": "Defines the eligibility criteria, in place of earlier ones.";
        PublishConsentForm by Conduct at "publish-consent-form": "Publishes a consent form.";
        DefineQuestionnaire by Conduct at "define-questionnaire": "Defines a questionnaire.";
        OpenEnrolment by Conduct at "open-enrolment": "Opens a trial for enrolment, at first or after a pause.";
        PauseEnrolment by Conduct at "pause-enrolment": "Pauses enrolment.";
        CloseEnrolment by Conduct at "close-enrolment": "Closes enrolment for good.";
    }
    "sites" {
        RegisterSite by Conduct at "register-site", creates: "Registers a site for a trial.";
        ActivateSite by Conduct at "activate-site": "Lets a site enrol, at first or after a suspension.";
        SuspendSite by Conduct at "suspend-site": "Keeps a site from screening and enrolling for now.";
    }
    "patients" {
        RegisterPatient by SiteWork at "register-patient", creates: "Registers a person.";
        RecordObservation by SiteWork at "record-observation": "Records something that was observed about a person.";
        PresentConsentForm by SiteWork at "present-consent-form": "Shows a consent form to the patient.";
        SignConsent by Participation at "sign-consent": "Signs the consent form that was presented.";
        WithdrawConsent by Participation at "withdraw-consent": "Withdraws a consent.";
        ScreenPatient by SiteWork at "screen-patient": "Screens a patient for a trial.";
    }
    "subjects" {
        RecordEligibility by SiteWork at "record-eligibility": "Assesses the trial's criteria on what is known about the patient.";
        FailScreening by SiteWork at "fail-screening": "Ends screening without enrolment.";
        EnrolSubject by SiteWork at "enrol-subject": "Enrols an eligible subject and takes a place.";
        RandomiseSubject by Allocation at "randomise-subject": "Allocates an enrolled subject to an arm.";
        DiscontinueSubject by SiteWork at "discontinue-subject": "Ends a subject's participation before completion.";
        CompleteSubject by SiteWork at "complete-subject": "Records that a subject completed the trial.";
    }
    "reports" {
        SubmitReport by Participation at "submit-report", creates: "Submits a filled-in questionnaire.";
        CorrectReport by SiteWork at "correct-report": "Corrects a report; the old answers stay in the history.";
    }
    "adverse-events" {
        ReportAdverseEvent by SiteWork at "report-adverse-event", creates: "Reports an adverse event.";
        UpdateAdverseEvent by SiteWork at "update-adverse-event": "Adds to what is known of an adverse event.";
    }
    "alerts" {
        RaiseAlert by Process at "raise-alert": "Raises an alert.";
        AcknowledgeAlert by Safety at "acknowledge-alert" or "acknowledge": "Takes notice of an alert.";
        EscalateAlert by Process at "escalate-alert" or "escalate": "Tells the next level, because nobody acknowledged in time.";
        ResolveAlert by Safety at "resolve-alert" or "resolve": "Records that what had to be done was done.";
    }
    "visits" {
        RecordVisit by SiteWork at "record-visit", creates: "Records that a subject came to a visit.";
    }
    "notifications" {
        RequestNotification by Process at "request-notification": "Asks for a message to a role.";
    }
    "dead-letters" {
        RecordDeadLetter by Process at "record-dead-letter": "Records that a step failed for good.";
        RetryDeadLetter by Operation at "retry-dead-letter" or "retry": "Has a step tried again.";
        DropDeadLetter by Operation at "drop-dead-letter" or "drop": "Gives a step up.";
    }
}
