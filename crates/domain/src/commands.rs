//! Every command of the system, in one list: addresses, OpenAPI and process
//! managers are made from it.

use events::decider::{Command, Context, Decision, Facts, Halt};
use events::ids::{StreamId, StreamKey, StreamType};
use schemars::{Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::adverse_event::{ReportAdverseEvent, UpdateAdverseEvent};
use crate::alert::{AcknowledgeAlert, EscalateAlert, RaiseAlert, ResolveAlert};
use crate::consent::{PresentConsentForm, SignConsent, WithdrawConsent};
use crate::dead_letter::{DropDeadLetter, RecordDeadLetter, RetryDeadLetter};
use crate::notification::RequestNotification;
use crate::patient::{RecordObservation, RegisterPatient};
use crate::report::{CorrectReport, SubmitReport};
use crate::site::{ActivateSite, RegisterSite, SuspendSite};
use crate::subject::{
    CompleteSubject, DiscontinueSubject, EnrolSubject, FailScreening, RandomiseSubject, RecordEligibility,
    ScreenPatient,
};
use crate::trial::{
    AddArm, CloseEnrolment, DefineEligibility, DefineQuestionnaire, OpenEnrolment, PauseEnrolment, PublishConsentForm,
    RegisterTrial,
};
use crate::visit::RecordVisit;

/// A body that is not the command's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BodyError {
    /// Where, as field names joined by `/`; empty for the body as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

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
    ($($collection:literal { $($command:ident at $path:literal $(or $alias:literal)? $(, $creates:ident)?: $summary:literal;)+ })+) => {
        /// Any command with its target.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

            /// Decides the command; see [`Command::decide`].
            ///
            /// # Errors
            /// [`Halt`].
            pub fn decide(&self, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
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
        RegisterTrial at "register-trial", creates: "Registers a trial.";
        AddArm at "add-arm": "Adds an arm to a trial.";
        DefineEligibility at "define-eligibility": "Defines the eligibility criteria, in place of earlier ones.";
        PublishConsentForm at "publish-consent-form": "Publishes a consent form.";
        DefineQuestionnaire at "define-questionnaire": "Defines a questionnaire.";
        OpenEnrolment at "open-enrolment": "Opens a trial for enrolment, at first or after a pause.";
        PauseEnrolment at "pause-enrolment": "Pauses enrolment.";
        CloseEnrolment at "close-enrolment": "Closes enrolment for good.";
    }
    "sites" {
        RegisterSite at "register-site", creates: "Registers a site for a trial.";
        ActivateSite at "activate-site": "Lets a site enrol, at first or after a suspension.";
        SuspendSite at "suspend-site": "Keeps a site from screening and enrolling for now.";
    }
    "patients" {
        RegisterPatient at "register-patient", creates: "Registers a person.";
        RecordObservation at "record-observation": "Records something that was observed about a person.";
        PresentConsentForm at "present-consent-form": "Shows a consent form to the patient.";
        SignConsent at "sign-consent": "Signs the consent form that was presented.";
        WithdrawConsent at "withdraw-consent": "Withdraws a consent.";
        ScreenPatient at "screen-patient": "Screens a patient for a trial.";
    }
    "subjects" {
        RecordEligibility at "record-eligibility": "Assesses the trial's criteria on what is known about the patient.";
        FailScreening at "fail-screening": "Ends screening without enrolment.";
        EnrolSubject at "enrol-subject": "Enrols an eligible subject and takes a place.";
        RandomiseSubject at "randomise-subject": "Allocates an enrolled subject to an arm.";
        DiscontinueSubject at "discontinue-subject": "Ends a subject's participation before completion.";
        CompleteSubject at "complete-subject": "Records that a subject completed the trial.";
    }
    "reports" {
        SubmitReport at "submit-report", creates: "Submits a filled-in questionnaire.";
        CorrectReport at "correct-report": "Corrects a report; the old answers stay in the history.";
    }
    "adverse-events" {
        ReportAdverseEvent at "report-adverse-event", creates: "Reports an adverse event.";
        UpdateAdverseEvent at "update-adverse-event": "Adds to what is known of an adverse event.";
    }
    "alerts" {
        RaiseAlert at "raise-alert": "Raises an alert.";
        AcknowledgeAlert at "acknowledge-alert" or "acknowledge": "Takes notice of an alert.";
        EscalateAlert at "escalate-alert" or "escalate": "Tells the next level, because nobody acknowledged in time.";
        ResolveAlert at "resolve-alert" or "resolve": "Records that what had to be done was done.";
    }
    "visits" {
        RecordVisit at "record-visit", creates: "Records that a subject came to a visit.";
    }
    "notifications" {
        RequestNotification at "request-notification": "Asks for a message to a role.";
    }
    "dead-letters" {
        RecordDeadLetter at "record-dead-letter": "Records that a step failed for good.";
        RetryDeadLetter at "retry-dead-letter" or "retry": "Has a step tried again.";
        DropDeadLetter at "drop-dead-letter" or "drop": "Gives a step up.";
    }
}

fn parse<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, BodyError> {
    // serde would also take the fields as a list, in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let message = "the body must be a JSON object with the command's fields".to_owned();
        return Err(BodyError { field: String::new(), message });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path: Vec<String> = error.path().iter().map(ToString::to_string).collect();
        let path = path.join("/").replace(['[', ']'], "");
        let message = error.inner().to_string();
        let mut field = if path == "." { String::new() } else { path };
        if let Some(name) = named(&message) {
            field = if field.is_empty() { name.to_owned() } else { format!("{field}/{name}") };
        }
        BodyError { field, message }
    })?;
    deserializer.end().map_err(|error| BodyError { field: String::new(), message: error.to_string() })?;
    // A list inside the body may be one of those, too.
    if bytes.contains(&b'[')
        && let (Ok(given), Ok(meant)) = (serde_json::from_slice(bytes), serde_json::to_value(&body))
        && let Some(field) = list_for_object(&given, &meant)
    {
        return Err(BodyError { field, message: "must be a JSON object, not a list".to_owned() });
    }
    Ok(body)
}

/// Where a list was given and an object is meant, as field names joined by `/`.
fn list_for_object(given: &Value, meant: &Value) -> Option<String> {
    let below = |name: &str, given: &Value, meant: &Value| {
        let rest = list_for_object(given, meant)?;
        Some(if rest.is_empty() { name.to_owned() } else { format!("{name}/{rest}") })
    };
    match (given, meant) {
        (Value::Array(_), Value::Object(_)) => Some(String::new()),
        (Value::Object(given), Value::Object(meant)) => {
            given.iter().find_map(|(name, given)| below(name, given, meant.get(name)?))
        }
        (Value::Array(given), Value::Array(meant)) => given
            .iter()
            .zip(meant)
            .enumerate()
            .find_map(|(index, (given, meant))| below(&index.to_string(), given, meant)),
        _ => None,
    }
}

/// The field that a message about a whole object names: one that is missing or given twice.
fn named(message: &str) -> Option<&str> {
    let rest = ["missing field `", "duplicate field `"].iter().find_map(|begin| message.strip_prefix(begin))?;
    rest.split('`').next()
}
