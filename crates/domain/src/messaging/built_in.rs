//! The texts that the program brings along. Whoever changes one raises its version: what was sent stands in the history by it.

use super::template::BuiltIn;

const fn text(
    (code, to_participants): (&'static str, bool),
    language: &'static str,
    version: u32,
    subject: &'static str,
    text: &'static str,
) -> BuiltIn {
    BuiltIn { code, to_participants, language, version, subject, text }
}

const ALERT_RAISED: (&str, bool) = ("alert-raised", false);
const ALERT_ESCALATED: (&str, bool) = ("alert-escalated", false);
const SUBJECT_UNBLINDED: (&str, bool) = ("subject-unblinded", false);
const ENROLMENT_ON_HOLD: (&str, bool) = ("enrolment-on-hold", false);
const CONSENT_WITHDRAWN: (&str, bool) = ("consent-withdrawn", false);
const STAFF_NEWS: (&str, bool) = ("staff-news", false);
const PARTICIPANT_NEWS: (&str, bool) = ("participant-news", true);
const QUESTIONS_DUE: (&str, bool) = ("questions-due", true);

/// All of them.
#[rustfmt::skip]
pub(super) const BUILT_IN: &[BuiltIn] = &[
    text(ALERT_RAISED, "en", 1, "Safety alert", "{protocol}, site {site}: a safety alert waits for you. Please sign in and acknowledge it. Reference {reference}."),
    text(ALERT_RAISED, "de", 1, "Sicherheitsalarm", "{protocol}, Zentrum {site}: Ein Sicherheitsalarm wartet auf Sie. Bitte melden Sie sich an und bestätigen Sie ihn. Kennung {reference}."),
    text(ALERT_RAISED, "nb", 1, "Sikkerhetsvarsel", "{protocol}, senter {site}: Et sikkerhetsvarsel venter på deg. Logg inn og bekreft det. Referanse {reference}."),
    text(ALERT_ESCALATED, "en", 1, "Safety alert not acknowledged", "{protocol}, site {site}: nobody acknowledged a safety alert in time. Please sign in and look at it now. Reference {reference}."),
    text(ALERT_ESCALATED, "de", 1, "Sicherheitsalarm nicht bestätigt", "{protocol}, Zentrum {site}: Ein Sicherheitsalarm wurde nicht rechtzeitig bestätigt. Bitte melden Sie sich jetzt an. Kennung {reference}."),
    text(ALERT_ESCALATED, "nb", 1, "Sikkerhetsvarsel ikke bekreftet", "{protocol}, senter {site}: Ingen bekreftet et sikkerhetsvarsel i tide. Logg inn og se på det nå. Referanse {reference}."),
    text(SUBJECT_UNBLINDED, "en", 1, "A blind was broken", "{protocol}, site {site}: the blind was broken for one subject. Please sign in to see by whom and why. Reference {reference}."),
    text(SUBJECT_UNBLINDED, "de", 1, "Entblindung", "{protocol}, Zentrum {site}: Für eine Person wurde die Verblindung aufgehoben. Bitte melden Sie sich an, um zu sehen, von wem und warum. Kennung {reference}."),
    text(SUBJECT_UNBLINDED, "nb", 1, "Blinding brutt", "{protocol}, senter {site}: Blindingen ble brutt for én deltaker. Logg inn for å se av hvem og hvorfor. Referanse {reference}."),
    text(ENROLMENT_ON_HOLD, "en", 1, "Enrolment on hold", "{protocol}, site {site}: somebody waits for enrolment, which the site or the trial does not take at the moment. Reference {reference}."),
    text(ENROLMENT_ON_HOLD, "de", 1, "Einschluss angehalten", "{protocol}, Zentrum {site}: Jemand wartet auf den Einschluss, der im Zentrum oder in der Studie gerade nicht möglich ist. Kennung {reference}."),
    text(ENROLMENT_ON_HOLD, "nb", 1, "Inklusjon på vent", "{protocol}, senter {site}: Noen venter på inklusjon, som senteret eller studien ikke tar imot nå. Referanse {reference}."),
    text(CONSENT_WITHDRAWN, "en", 1, "Consent withdrawn", "{protocol}, site {site}: a consent was withdrawn. Please sign in to see what follows. Reference {reference}."),
    text(CONSENT_WITHDRAWN, "de", 1, "Einwilligung widerrufen", "{protocol}, Zentrum {site}: Eine Einwilligung wurde widerrufen. Bitte melden Sie sich an, um zu sehen, was folgt. Kennung {reference}."),
    text(CONSENT_WITHDRAWN, "nb", 1, "Samtykke trukket", "{protocol}, senter {site}: Et samtykke ble trukket. Logg inn for å se hva som følger. Referanse {reference}."),
    text(STAFF_NEWS, "en", 1, "News of the trial", "{protocol}: there is news of the trial. Please sign in to read it. Reference {reference}."),
    text(STAFF_NEWS, "de", 1, "Neues zur Studie", "{protocol}: Es gibt Neues zur Studie. Bitte melden Sie sich an, um es zu lesen. Kennung {reference}."),
    text(STAFF_NEWS, "nb", 1, "Nytt om studien", "{protocol}: Det er nytt om studien. Logg inn for å lese det. Referanse {reference}."),
    text(PARTICIPANT_NEWS, "en", 1, "A message for you", "There is a message for you from your study team. Please open your app or call your contact there. Reference {reference}."),
    text(PARTICIPANT_NEWS, "de", 1, "Eine Nachricht für Sie", "Es gibt eine Nachricht Ihres Studienteams. Bitte öffnen Sie Ihre App oder rufen Sie dort an. Kennung {reference}."),
    text(PARTICIPANT_NEWS, "nb", 1, "En melding til deg", "Det er en melding til deg fra studieteamet ditt. Åpne appen eller ring kontakten din der. Referanse {reference}."),
    text(QUESTIONS_DUE, "en", 1, "Questions for you", "Your questions are ready. Please answer them in your app. Reference {reference}."),
    text(QUESTIONS_DUE, "de", 1, "Fragen an Sie", "Ihre Fragen sind bereit. Bitte beantworten Sie sie in Ihrer App. Kennung {reference}."),
    text(QUESTIONS_DUE, "nb", 1, "Spørsmål til deg", "Spørsmålene dine er klare. Svar på dem i appen. Referanse {reference}."),
];
