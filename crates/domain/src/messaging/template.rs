//! The texts of messages: those that the program brings along, and those of a trial.
//!
//! Nothing about anybody's health stands in a message, and nothing that names the person: it says that there is something, and
//! where. What may be filled in is in [`PLACEHOLDERS`].

use decider::{Command, Context, Decision, Facts, Halt};
use events::envelope::References;
use events::identifier::same;
use events::ids::TrialId;
use events::trial::MessageTemplateDefined;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::built_in::BUILT_IN;
use crate::place::Place;
use crate::trial::{self, RegisteredTrial};
use crate::validate::{self, Invalid};
use crate::when::When;

/// What may be filled in: the protocol number, the site's number, and what the notification is found by.
pub const PLACEHOLDERS: [&str; 3] = ["protocol", "site", "reference"];

/// Texts of messages that a trial may have; of each only the newest counts.
const TEMPLATES_MAX: usize = 200;
/// Greatest length of a text: some ten text messages.
const TEXT_LENGTH_MAX: usize = 1_500;
/// The language that is taken where there is no other.
const FALLBACK: &str = "en";

/// Defines the text of a message in one language, in place of an earlier one. It stands in the history for ever and goes to
/// whomever it is sent: nothing about anybody's health belongs in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefineMessageTemplate {
    /// The template's code, such as `newsletter-spring`.
    pub template: String,
    /// BCP 47 language tag.
    pub language: String,
    /// The subject line of e-mails, and the title where an app shows one.
    pub subject: String,
    /// The text. `{protocol}`, `{site}` and `{reference}` are filled in.
    pub text: String,
    /// When it happened; by default now.
    pub occurred_at: When,
}

rules! {
    /// Why a template is refused.
    pub enum TemplateError {
        BuiltIn(code: String) => BUILT_IN_TEMPLATE = "template-built-in":
            "`{0}` is a template of the program itself; choose another code", field "template";
        TooMany(max: usize) => TOO_MANY_TEMPLATES = "templates-too-many":
            "the trial has {0} texts of messages, and more cannot be kept", field "template";
        Unknown(code: String) => TEMPLATE_UNKNOWN = "template-unknown":
            "there is no template `{0}`, neither of the program nor of the trial", field "template";
        NotForParticipants(code: String) => NOT_FOR_PARTICIPANTS = "template-not-for-participants":
            "`{0}` is written to staff; choose another template", field "template";
    }
}

impl Command for DefineMessageTemplate {
    type Target = TrialId;
    const NAME: &'static str = "DefineMessageTemplate";

    fn decide(&self, trial_id: TrialId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            validate::code("template", &self.template),
            validate::language("language", &self.language),
            validate::text("subject", &self.subject),
            validate::prose("text", &self.text),
            placeholders("subject", &self.subject),
            placeholders("text", &self.text),
            if self.text.chars().count() > TEXT_LENGTH_MAX {
                Err(Invalid::TooLong { field: "text".to_owned(), max: TEXT_LENGTH_MAX })
            } else {
                Ok(())
            },
        ])?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &Place::ANYWHERE)?;
        let course = trial::registered(facts, trial_id, None)?;
        if built_in(&self.template).next().is_some() {
            return Err(TemplateError::BuiltIn(self.template.clone()).into());
        }
        let known = course.templates.iter().find(|known| known.is_of(&self.template, &self.language));
        let decision = Decision::new(References::trial(trial_id), occurred_at);
        if known.is_some_and(|known| known.subject == self.subject && known.text == self.text) {
            return Ok(decision);
        }
        if known.is_none() && course.templates.len() >= TEMPLATES_MAX {
            return Err(TemplateError::TooMany(TEMPLATES_MAX).into());
        }
        let defined = MessageTemplateDefined {
            template: self.template.clone(),
            language: self.language.clone(),
            template_version: known.map_or(1, |known| known.template_version.saturating_add(1)),
            subject: self.subject.clone(),
            text: self.text.clone(),
        };
        Ok(decision.append(trial_id, defined))
    }
}

/// Whether whatever stands in braces can be filled in.
fn placeholders(field: &str, text: &str) -> Result<(), Invalid> {
    let malformed = || {
        let known = PLACEHOLDERS.map(|name| format!("`{{{name}}}`")).join(", ");
        let expected = format!("a text in which nothing but {known} stands in braces");
        Invalid::Malformed { field: field.to_owned(), expected }
    };
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let name = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, behind) = name.ok_or_else(malformed)?;
        if !PLACEHOLDERS.contains(&name) {
            return Err(malformed());
        }
        rest = behind;
    }
    Ok(())
}

/// A text that the program brings along.
pub(super) struct BuiltIn {
    /// The template's code.
    pub code: &'static str,
    /// Whether it is written to participants.
    pub to_participants: bool,
    /// BCP 47 language tag.
    pub language: &'static str,
    /// Up by one whenever its text changes.
    pub version: u32,
    /// The subject line.
    pub subject: &'static str,
    /// The text.
    pub text: &'static str,
}

fn built_in(code: &str) -> impl Iterator<Item = &'static BuiltIn> {
    BUILT_IN.iter().filter(move |known| same(known.code, code))
}

/// A text in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'facts> {
    /// Its language.
    pub language: &'facts str,
    /// Its version.
    pub version: u32,
    /// The subject line.
    pub subject: &'facts str,
    /// The text.
    pub text: &'facts str,
}

impl Text<'_> {
    /// Subject and text with what is known filled in.
    pub fn filled(&self, protocol: &str, site: &str, reference: &str) -> [String; 2] {
        let [a, b, c] = PLACEHOLDERS.map(|name| format!("{{{name}}}"));
        [self.subject, self.text].map(|text| text.replace(&a, protocol).replace(&b, site).replace(&c, reference))
    }
}

/// Whether there is such a template, of the program or of the trial, that may be sent to participants where it is to be.
///
/// # Errors
/// [`TemplateError::Unknown`], [`TemplateError::NotForParticipants`].
pub fn require(course: Option<&RegisteredTrial>, code: &str, to_participants: bool) -> Result<(), TemplateError> {
    if let Some(known) = built_in(code).next() {
        return match to_participants && !known.to_participants {
            true => Err(TemplateError::NotForParticipants(code.to_owned())),
            false => Ok(()),
        };
    }
    let of_trial = course.is_some_and(|course| course.templates.iter().any(|known| same(&known.template, code)));
    if of_trial { Ok(()) } else { Err(TemplateError::Unknown(code.to_owned())) }
}

/// The text of a template in the wanted language, or the nearest to it: the same language of whatever region, English, the first
/// that there is.
pub fn text<'facts>(course: Option<&'facts RegisteredTrial>, code: &str, wanted: Option<&str>) -> Option<Text<'facts>> {
    let own = built_in(code).map(|known| Text {
        language: known.language,
        version: known.version,
        subject: known.subject,
        text: known.text,
    });
    let of_trial = course.into_iter().flat_map(|course| &course.templates).filter(|known| same(&known.template, code));
    let of_trial = of_trial.map(|known| Text {
        language: &known.language,
        version: known.template_version,
        subject: &known.subject,
        text: &known.text,
    });
    let all: Vec<Text<'facts>> = own.chain(of_trial).collect();
    let primary = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    let wanted = wanted.unwrap_or(FALLBACK);
    let fits = [
        &|text: &&Text<'_>| text.language.eq_ignore_ascii_case(wanted),
        &|text: &&Text<'_>| primary(text.language) == primary(wanted),
        &|text: &&Text<'_>| primary(text.language) == FALLBACK,
        &|_: &&Text<'_>| true,
    ] as [&dyn Fn(&&Text<'_>) -> bool; 4];
    fits.into_iter().find_map(|fits| all.iter().find(fits)).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_template_of_the_program_is_sound_in_every_language() {
        let languages: BTreeSet<&str> = BUILT_IN.iter().map(|known| known.language).collect();
        let codes: BTreeSet<&str> = BUILT_IN.iter().map(|known| known.code).collect();
        for code in codes {
            let known: Vec<&BuiltIn> = built_in(code).collect();
            assert_eq!(known.iter().map(|known| known.language).collect::<BTreeSet<_>>(), languages, "{code}");
            assert_eq!(known.len(), languages.len(), "{code}");
            assert!(known.iter().all(|text| text.to_participants == known[0].to_participants), "{code}");
            for BuiltIn { subject, text, version, .. } in known {
                placeholders("subject", subject).and_then(|()| placeholders("text", text)).expect(code);
                assert!(text.chars().count() <= 300 && *version > 0, "{code}: some two text messages");
            }
        }
    }

    #[test]
    fn the_nearest_language_is_taken() {
        let language = |wanted| text(None, "alert-raised", wanted).map(|text| text.language);
        assert_eq!(language(Some("de")), Some("de"));
        assert_eq!(language(Some("de-AT")), Some("de"));
        assert_eq!(language(Some("ja")), Some("en"));
        assert_eq!(language(None), Some("en"));
        assert_eq!(text(None, "unheard-of", None), None);
    }

    #[test]
    fn only_what_can_be_filled_in_stands_in_braces() {
        for good in ["plain", "{protocol} {site}{reference}", ""] {
            assert!(placeholders("text", good).is_ok(), "{good}");
        }
        for wrong in ["{name}", "{", "}", "{protocol", "protocol}", "{{protocol}}", "{ protocol }", "{}"] {
            assert!(placeholders("text", wrong).is_err(), "{wrong}");
        }
        let text = text(None, "alert-raised", None).expect("a text");
        let [subject, text] = text.filled("ANA-1", "701", "0190b8a4");
        assert!(!subject.contains('{') && text.contains("ANA-1") && text.contains("0190b8a4"), "{text}");
    }
}
