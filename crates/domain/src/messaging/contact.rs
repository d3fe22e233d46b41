//! How people are reached, and how they wish to be.

use authority::Account;
use decider::{Command, Context, Decision, Facts, Halt, Need};
use events::TimeZone;
use events::access::account::AccountContactSet;
use events::envelope::References;
use events::ids::{AccountId, PatientId};
use events::messaging::contact::{Channel, Contact, QuietHours};
use events::messaging::notification::Urgency;
use events::patient::ContactPreferencesSet;
use events::values::Personal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::account::of_another;
use crate::patient::{self, Patient};
use crate::validate::{self, Faults};
use crate::when::When;

/// Says how a person is reached and wishes to be, in place of what was said before. The mobile telephone number and the time
/// zone are among the demographics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetContactPreferences {
    /// E-mail address.
    #[serde(default)]
    pub email: Option<Personal<String>>,
    /// By which the push gateway knows the person's device.
    #[serde(default)]
    pub push_token: Option<Personal<String>>,
    /// BCP 47 language tag of the language in which they are written to.
    #[serde(default)]
    pub language: Option<String>,
    /// The channels that they wish for, the best first; absent where any will do. None at all: alerts only.
    #[serde(default)]
    pub channels: Option<Vec<Channel>>,
    /// When nobody writes to them but of alerts.
    #[serde(default)]
    pub quiet_hours: Option<QuietHours>,
    /// When it was said; by default now.
    pub occurred_at: When,
}

/// Says how an account is reached, in place of what was said before. Nobody says it of their own: whoever gets hold of an account
/// does not turn its alerts away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAccountContact {
    /// Mobile telephone number, E.164: `+` and up to 15 digits.
    #[serde(default)]
    pub mobile: Option<Personal<String>>,
    /// E-mail address.
    #[serde(default)]
    pub email: Option<Personal<String>>,
    /// By which the push gateway knows the device.
    #[serde(default)]
    pub push_token: Option<Personal<String>>,
    /// BCP 47 language tag of the language in which they are written to.
    #[serde(default)]
    pub language: Option<String>,
    /// The channels that they wish for, the best first; absent where any but `webhook` will do. None at all: alerts only.
    #[serde(default)]
    pub channels: Option<Vec<Channel>>,
    /// When nobody writes to them but of alerts.
    #[serde(default)]
    pub quiet_hours: Option<QuietHours>,
    /// The IANA time zone of the quiet hours, such as `Europe/Oslo`; by default UTC.
    #[serde(default)]
    pub time_zone: Option<TimeZone>,
}

rules! {
    /// Why it is refused.
    pub enum ContactError {
        OnlyForAccounts => ONLY_FOR_ACCOUNTS = "webhook-only-for-accounts":
            "a webhook tells another system, which has an account; a person is written to otherwise", field "channels";
    }
}

fn check(contact: &Contact) -> Result<(), Faults> {
    let push_token = validate::personal_text("push_token", contact.push_token.as_ref());
    let channels = contact.channels.iter().flatten().map(|channel| channel.name());
    validate::all([
        validate::mobile("mobile", contact.mobile.as_ref()),
        validate::email("email", contact.email.as_ref()),
        push_token,
        contact.language.as_deref().map_or(Ok(()), |language| validate::language("language", language)),
        validate::distinct("channels", channels),
    ])
}

impl Command for SetContactPreferences {
    type Target = PatientId;
    const NAME: &'static str = "SetContactPreferences";

    fn reads(&self, patient_id: PatientId) -> Vec<Need> {
        vec![Need::of::<Patient>(patient_id)]
    }

    fn decide(&self, patient_id: PatientId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let contact = Contact {
            mobile: None,
            email: self.email.clone(),
            push_token: self.push_token.clone(),
            language: self.language.clone(),
            channels: self.channels.clone(),
            quiet_hours: self.quiet_hours,
            time_zone: None,
        };
        check(&contact)?;
        if contact.channels.iter().flatten().any(|channel| *channel == Channel::Webhook) {
            return Err(ContactError::OnlyForAccounts.into());
        }
        let person = patient::registered(facts, patient_id, None)?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &person.place(facts))?;
        let decision = Decision::new(References::patient(patient_id), occurred_at);
        if person.contact == contact {
            return Ok(decision);
        }
        Ok(decision.append(patient_id, ContactPreferencesSet { contact }))
    }
}

impl Command for SetAccountContact {
    type Target = AccountId;
    const NAME: &'static str = "SetAccountContact";

    fn reads(&self, account_id: AccountId) -> Vec<Need> {
        vec![Need::of::<Account>(account_id)]
    }

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let contact = Contact {
            mobile: self.mobile.clone(),
            email: self.email.clone(),
            push_token: self.push_token.clone(),
            language: self.language.clone(),
            channels: self.channels.clone(),
            quiet_hours: self.quiet_hours,
            time_zone: self.time_zone,
        };
        check(&contact)?;
        let decision = Decision::new(References::default(), context.now);
        if of_another(context, facts, account_id)?.contact == contact {
            return Ok(decision);
        }
        Ok(decision.append(account_id, AccountContactSet { contact }))
    }
}

/// A way to somebody: the channel with the address there, none for a system that the settings name.
pub struct Way<'facts> {
    /// The channel.
    pub channel: Channel,
    /// The address.
    pub address: Option<&'facts Personal<String>>,
}

/// The best way to somebody: the one that was asked for, or else the first that they wish for and have an address of. Of alerts
/// people are told whatever they wish, where there is an address at all.
pub fn way<'facts>(
    contact: &'facts Contact,
    mobile: Option<&'facts Personal<String>>,
    asked: Option<Channel>,
    urgency: Urgency,
) -> Option<Way<'facts>> {
    let any = [Channel::Sms, Channel::Push, Channel::Email];
    let wished = contact.channels.as_deref().unwrap_or(&any);
    let of = |channel: Channel| {
        let address = match channel {
            Channel::Sms => mobile,
            Channel::Push => contact.push_token.as_ref(),
            Channel::Email => contact.email.as_ref(),
            Channel::Webhook => return wished.contains(&channel).then_some(Way { channel, address: None }),
        };
        // Of whoever was erased the address is there no more, sealed as it is.
        address.filter(|address| address.expose().is_some()).map(|address| Way { channel, address: Some(address) })
    };
    let is_alert = urgency == Urgency::Alert;
    if let Some(channel) = asked {
        return of(channel).filter(|_| is_alert || wished.contains(&channel));
    }
    let otherwise = if is_alert { &any as &[Channel] } else { &[] };
    wished.iter().chain(otherwise).find_map(|channel| of(*channel))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(contact: &Contact, mobile: bool, asked: Option<Channel>, urgency: Urgency) -> Option<Channel> {
        let number = Personal::new("+4790000000".to_owned());
        way(contact, mobile.then_some(&number), asked, urgency).map(|way| way.channel)
    }

    #[test]
    fn somebody_is_reached_as_they_wish() {
        let email = Some(Personal::new("a@b".to_owned()));
        let any = Contact { email: email.clone(), ..Contact::default() };
        assert_eq!(channel(&any, true, None, Urgency::Usual), Some(Channel::Sms));
        assert_eq!(channel(&any, false, None, Urgency::Usual), Some(Channel::Email));
        assert_eq!(channel(&any, true, Some(Channel::Email), Urgency::Usual), Some(Channel::Email));
        assert_eq!(channel(&any, true, Some(Channel::Push), Urgency::Alert), None);
        assert_eq!(channel(&any, true, Some(Channel::Webhook), Urgency::Alert), None);
        let none = Contact { email: email.clone(), channels: Some(Vec::new()), ..Contact::default() };
        assert_eq!(channel(&none, true, None, Urgency::Bulk), None);
        assert_eq!(channel(&none, true, Some(Channel::Sms), Urgency::Usual), None);
        assert_eq!(channel(&none, true, None, Urgency::Alert), Some(Channel::Sms));
        let system = Contact { channels: Some(vec![Channel::Webhook, Channel::Email]), email, ..Contact::default() };
        assert_eq!(channel(&system, true, None, Urgency::Usual), Some(Channel::Webhook));
        assert_eq!(channel(&system, true, Some(Channel::Sms), Urgency::Usual), None);
        assert_eq!(channel(&Contact::default(), false, None, Urgency::Alert), None);
    }
}
