//! Messages to people: who is told, by which way, and when not.

use authority::Account;
use chrono::TimeDelta;
use decider::Command;
use domain::access::account::RegisterAccount;
use domain::access::grant::GrantRole;
use domain::consent::WithdrawConsent;
use domain::messaging::contact::{SetAccountContact, SetContactPreferences};
use domain::messaging::delivery::{Preparation, PrepareMessage};
use domain::messaging::message::{
    BeginSending, PostponeMessage, RecordReceipt, RecordSending, RetryMessage, SkipMessage,
};
use domain::messaging::notification::{AddressNotification, PAGE_LENGTH_MAX, RequestNotification};
use domain::messaging::template::DefineMessageTemplate;
use domain::patient::CorrectDemographics;
use events::envelope::Role;
use events::ids::{AccountId, MessageId, NotificationId};
use events::messaging::contact::Channel;
use events::messaging::message::{Recipient, SkipReason};
use serde_json::{Value, json};
use testkit::given::World;
use uuid::Uuid;

use crate::world::{command, enrolled, open_trial, patient, site, trial};

fn notification() -> NotificationId {
    Uuid::from_u128(0x600).into()
}

fn account(number: u128) -> AccountId {
    Uuid::from_u128(0x700 + number).into()
}

fn to(number: u128) -> Recipient {
    Recipient::Patient { patient_id: patient(number) }
}

fn message(number: u128) -> MessageId {
    MessageId::of(notification(), to(number))
}

fn sponsor(world: &World) -> World {
    world.as_role(Role::Sponsor)
}

fn system(world: &World) -> World {
    world.as_role(Role::System)
}

fn request(more: Value) -> RequestNotification {
    let body = json!({"template": "participant-news", "audience": {"kind": "subjects"}, "trial_id": trial()});
    command(testkit::given::with(body, &more))
}

fn page(numbers: &[u128], complete: bool) -> AddressNotification {
    let recipients: Vec<Recipient> = numbers.iter().map(|number| to(*number)).collect();
    command(json!({"page": 1, "recipients": recipients, "complete": complete}))
}

fn body<C: Command + serde::de::DeserializeOwned>(body: Value) -> C {
    command(body)
}

/// Two subjects with telephones.
fn two_with_telephones() -> World {
    let world = enrolled(&enrolled(&open_trial(10, 10), 1), 2);
    let telephone = |world: &World, number: u128| {
        let correct = json!({"mobile": format!("+47900000{number:02}"), "reason": "Given now"});
        world.when(patient(number), &body::<CorrectDemographics>(correct)).then(&["DemographicsCorrected"])
    };
    telephone(&telephone(&world, 1), 2)
}

/// The same, with a message to the first of them.
fn queued(more: Value) -> World {
    let world = sponsor(&two_with_telephones()).when(notification(), &request(more)).then(&["NotificationRequested"]);
    system(&world).when(notification(), &page(&[1], true)).then(&["NotificationAddressed", "MessageQueued"])
}

fn prepared(world: &World) -> Preparation {
    world.ask(&PrepareMessage { message_id: message(1) }).expect("an answer")
}

#[test]
fn everybody_who_takes_part_is_told_once() {
    let world = sponsor(&two_with_telephones());
    let world = world.when(notification(), &request(json!({}))).then(&["NotificationRequested"]);
    world.when(notification(), &request(json!({}))).then_refused("notification-already-requested");
    let world = system(&world);
    world
        .when(notification(), &body::<AddressNotification>(json!({"page": 2, "recipients": [], "complete": true})))
        .then_refused("notification-page-missing");
    // Whoever does not take part, or is named twice, gets nothing more.
    let outcome = world.when(notification(), &page(&[1, 2, 1, 3], true));
    assert_eq!(
        outcome.payload("NotificationAddressed"),
        json!({"page": 1, "queued": 2, "unreachable": 0, "complete": true})
    );
    let world = outcome.then(&["NotificationAddressed", "MessageQueued", "MessageQueued"]);
    world.when(notification(), &page(&[1, 2], true)).then(&[]);
    let many = AddressNotification { recipients: vec![to(1); PAGE_LENGTH_MAX + 1], ..page(&[], true) };
    world.when(notification(), &many).then_refused("too-many");
    world.assert_snapshots_hold();
}

#[test]
fn what_is_asked_for_belongs_together() {
    let world = sponsor(&two_with_telephones());
    let refused = |more: Value, rule: &str| {
        world.when(notification(), &request(more)).then_refused(rule);
    };
    refused(json!({"trial_id": null}), "notification-without-trial");
    refused(json!({"trial_id": Uuid::from_u128(0x99)}), "trial-not-found");
    refused(json!({"site_id": Uuid::from_u128(0x99)}), "site-not-found");
    refused(json!({"template": "unheard-of"}), "template-unknown");
    refused(json!({"template": "alert-raised"}), "template-not-for-participants");
    refused(json!({"patient_id": patient(1)}), "notification-about-another");
    refused(json!({"language": "nobody's"}), "malformed");
    let of_one = json!({"audience": {"kind": "patient", "patient_id": patient(1)}, "patient_id": patient(2)});
    refused(of_one, "notification-about-another");
    let nobody = json!({"audience": {"kind": "patient", "patient_id": patient(3)}});
    refused(nobody, "subject-not-found");
    let staff = json!({"template": "alert-raised", "audience": {"kind": "role", "role": "investigator"}});
    world.when(notification(), &request(staff)).then(&["NotificationRequested"]);
}

#[test]
fn who_has_no_address_is_counted_and_not_forgotten() {
    let world = sponsor(&enrolled(&open_trial(10, 10), 1));
    let world = world.when(notification(), &request(json!({}))).then(&["NotificationRequested"]);
    let outcome = system(&world).when(notification(), &page(&[1], true));
    assert_eq!(outcome.payload("NotificationAddressed")["unreachable"], 1);
    outcome.then(&["NotificationAddressed"]);
}

#[test]
fn it_is_too_late_for_old_news() {
    let world = sponsor(&two_with_telephones());
    let world = world.when(notification(), &request(json!({}))).then(&["NotificationRequested"]);
    let later = system(&world).minutes_later(73 * 60);
    let outcome = later.when(notification(), &page(&[1, 2], false));
    assert_eq!(outcome.payload("NotificationAddressed")["expired"], true);
    outcome.then(&["NotificationAddressed"]);
    let waiting = queued(json!({})).minutes_later(73 * 60);
    assert_eq!(prepared(&waiting), Preparation::Skip(SkipReason::Expired));
}

#[test]
fn those_who_hold_the_role_where_it_concerns_are_told() {
    let open = |world: &World, number: u128, scope: Value| {
        let register = json!({"username": format!("doctor-{number}")});
        let world = world.when(account(number), &body::<RegisterAccount>(register)).then_either();
        let grant = json!({"role": "investigator", "scope": scope});
        let world = world.when(account(number), &body::<GrantRole>(grant)).then(&["RoleGranted"]);
        let contact = json!({"mobile": format!("+4790000{number:03}")});
        world.when(account(number), &body::<SetAccountContact>(contact)).then(&["AccountContactSet"])
    };
    let world = two_with_telephones();
    let world = open(&world, 1, json!({"kind": "site", "trial_id": trial(), "site_id": site()}));
    let world = open(&world, 2, json!({"kind": "installation"}));
    let other = json!({"protocol": "P-2", "title": "T", "blinding": "open-label", "planned_enrolment": 1});
    let elsewhere = events::ids::TrialId::from(Uuid::from_u128(0x11));
    let world = world.when(elsewhere, &body::<domain::trial::RegisterTrial>(other)).then_either();
    let world = open(&world, 3, json!({"kind": "trial", "trial_id": elsewhere}));
    let staff = json!({"template": "alert-raised", "audience": {"kind": "role", "role": "investigator"},
        "urgency": "alert", "site_id": site()});
    let world = sponsor(&world).when(notification(), &request(staff)).then(&["NotificationRequested"]);
    let recipients: Vec<Recipient> =
        [1, 2, 3, 4].map(|number| Recipient::Account { account_id: account(number) }).to_vec();
    let address = AddressNotification { recipients, ..page(&[], true) };
    let world = system(&world).when(notification(), &address);
    assert_eq!(world.payload("NotificationAddressed")["queued"], 2);
    let world = world.then(&["NotificationAddressed", "MessageQueued", "MessageQueued"]);
    let to_first = MessageId::of(notification(), Recipient::Account { account_id: account(1) });
    let prepared = world.ask(&PrepareMessage { message_id: to_first }).expect("an answer");
    let Preparation::Send(outgoing) = prepared else { panic!("{prepared:?}") };
    assert!(outgoing.text.contains("P-1") && outgoing.text.contains("701"), "{}", outgoing.text);
    assert_eq!((outgoing.channel, outgoing.attempt, &*outgoing.language), (Channel::Sms, 1, "en"));
    assert!(world.facts(account(1), &body::<SetAccountContact>(json!({}))).get::<Account>(account(1)).is_ok());
}

#[test]
fn nobody_is_written_to_in_quiet_hours_but_of_alerts() {
    let quiet = json!({"quiet_hours": {"from": "00:00", "until": "23:59"}, "language": "de-AT"});
    let set = body::<SetContactPreferences>(quiet);
    let asleep = two_with_telephones().when(patient(1), &set).then(&["ContactPreferencesSet"]);
    asleep.when(patient(1), &set).then(&[]);
    let world = sponsor(&asleep).when(notification(), &request(json!({}))).then(&["NotificationRequested"]);
    let outcome = system(&world).when(notification(), &page(&[1], true));
    let not_before = outcome.payload("MessageQueued")["not_before"].clone();
    assert!(not_before.is_string(), "{not_before}");
    assert!(matches!(prepared(&outcome.then_either()), Preparation::NotBefore(_)));
    // Who says so only later is left alone as well.
    let waiting = queued(json!({})).as_role(Role::Participant).when(patient(1), &set).then(&["ContactPreferencesSet"]);
    let Preparation::Postpone(until) = prepared(&waiting) else { panic!("it is postponed") };
    let waiting = system(&waiting);
    let postponed = waiting.when(message(1), &PostponeMessage { until }).then(&["MessagePostponed"]);
    postponed.when(message(1), &PostponeMessage { until }).then(&[]);
    assert_eq!(prepared(&postponed), Preparation::NotBefore(until));
    let alert = json!({"urgency": "alert", "audience": {"kind": "patient", "patient_id": patient(1)}});
    let world = sponsor(&asleep).when(notification(), &request(alert)).then(&["NotificationRequested"]);
    let world =
        system(&world).when(notification(), &page(&[1], true)).then(&["NotificationAddressed", "MessageQueued"]);
    let Preparation::Send(outgoing) = prepared(&world) else { panic!("it is sent") };
    assert_eq!(outgoing.language, "de");
}

#[test]
fn who_has_withdrawn_is_written_to_no_more() {
    let world = queued(json!({}));
    assert!(matches!(prepared(&world), Preparation::Send(_)));
    let withdraw = json!({"trial_id": trial(), "scope": "further-data"});
    let world = world.as_role(Role::Participant).when(patient(1), &body::<WithdrawConsent>(withdraw));
    assert_eq!(prepared(&world.then(&["ConsentWithdrawn"])), Preparation::Skip(SkipReason::NoLongerConcerned));
    let unwanted = body::<SetContactPreferences>(json!({"channels": []}));
    let world = queued(json!({})).as_role(Role::Participant).when(patient(1), &unwanted);
    assert_eq!(prepared(&world.then_either()), Preparation::Skip(SkipReason::Unreachable));
    let webhook = body::<SetContactPreferences>(json!({"channels": ["webhook"]}));
    queued(json!({})).when(patient(1), &webhook).then_refused("webhook-only-for-accounts");
}

#[test]
fn an_attempt_ends_once() {
    let world = system(&queued(json!({})));
    let sent = body::<RecordSending>(json!({"attempt": 1,
        "outcome": {"kind": "sent", "template_version": 1, "language": "en", "provider_message_id": "gw-1"}}));
    let failed = |attempt: u32| {
        body::<RecordSending>(
            json!({"attempt": attempt, "outcome": {"kind": "failed", "fault": "unavailable", "status": 503}}),
        )
    };
    let taken = world.when(message(1), &sent).then(&["MessageSent"]);
    taken.when(message(1), &sent).then(&[]);
    taken.when(message(1), &failed(1)).then(&[]);
    assert_eq!(prepared(&taken), Preparation::Settled);
    taken.when(message(1), &body::<RetryMessage>(json!({"reason": "Again"}))).then_refused("message-not-given-up");
    let arrived = taken.when(message(1), &RecordReceipt { delivered: true }).then(&["MessageDelivered"]);
    arrived.when(message(1), &RecordReceipt { delivered: true }).then(&[]);
    arrived.when(message(1), &RecordReceipt { delivered: false }).then(&[]);
    taken.when(message(1), &RecordReceipt { delivered: false }).then(&["MessageUndelivered"]).assert_snapshots_hold();

    // Eight attempts, each after a longer rest; then an operator.
    let mut world = world;
    for attempt in 1..8 {
        world.when(message(1), &failed(attempt + 1)).then(&[]);
        world = world.when(message(1), &failed(attempt)).then(&["MessageFailed"]);
        let Preparation::NotBefore(until) = prepared(&world) else { panic!("it rests") };
        assert!(until - world.now() <= TimeDelta::hours(2), "{until}");
        world = world.minutes_later(120);
    }
    let dead = world.when(message(1), &failed(8)).then(&["MessageDeadLettered"]);
    assert_eq!(prepared(&dead), Preparation::Settled);
    let again =
        dead.when(message(1), &body::<RetryMessage>(json!({"reason": "It works again"}))).then(&["MessageRetried"]);
    assert!(matches!(prepared(&again), Preparation::Send(outgoing) if outgoing.attempt == 1));
    again.assert_snapshots_hold();
}

#[test]
fn what_may_have_been_sent_is_not_sent_again_by_itself() {
    let world = system(&queued(json!({})));
    let begun = world.when(message(1), &BeginSending { attempt: 1 }).then(&["MessageSending"]);
    begun.when(message(1), &BeginSending { attempt: 1 }).then(&[]);
    begun.when(message(1), &SkipMessage { reason: SkipReason::Expired }).then(&[]);
    assert_eq!(prepared(&begun), Preparation::Unsettled { attempt: 1 });
    let outcome = |kind: Value| body::<RecordSending>(json!({"attempt": 1, "outcome": kind}));
    let uncertain = begun.when(message(1), &outcome(json!({"kind": "uncertain"}))).then(&["DeliveryUncertain"]);
    assert_eq!(prepared(&uncertain), Preparation::Settled);
    uncertain.when(message(1), &outcome(json!({"kind": "failed", "fault": "unanswered"}))).then(&[]);
    // Whoever was believed dead tells all the same that it was sent; so does the provider.
    let sent = json!({"kind": "sent", "template_version": 1, "language": "en"});
    uncertain.when(message(1), &outcome(sent)).then(&["MessageSent"]);
    uncertain.when(message(1), &RecordReceipt { delivered: true }).then(&["MessageDelivered"]);
    let rejected = outcome(json!({"kind": "failed", "fault": "rejected", "status": 550}));
    begun.when(message(1), &rejected).then(&["MessageDeadLettered"]);
    uncertain.when(message(1), &body::<RetryMessage>(json!({"reason": "Nobody got it"}))).then(&["MessageRetried"]);
}

#[test]
fn texts_of_a_trial_are_versioned() {
    let world = sponsor(&open_trial(10, 10));
    let define = |text: &str| {
        body::<DefineMessageTemplate>(json!({"template": "spring", "language": "en", "subject": "News", "text": text}))
    };
    let world = world.when(trial(), &define("It is spring.")).then(&["MessageTemplateDefined"]);
    world.when(trial(), &define("It is spring.")).then(&[]);
    let outcome = world.when(trial(), &define("It is summer. {reference}"));
    assert_eq!(outcome.payload("MessageTemplateDefined")["template_version"], 2);
    outcome.then(&["MessageTemplateDefined"]).assert_snapshots_hold();
    world.when(trial(), &define("Dear {name}")).then_refused("malformed");
    world.when(trial(), &define(&"x".repeat(1_501))).then_refused("too-long");
    let own = json!({"template": "alert-raised", "language": "en", "subject": "x", "text": "x"});
    world.when(trial(), &body::<DefineMessageTemplate>(own)).then_refused("template-built-in");
}
