"""A trial from its definition to an alert and back in time, with openapi-python-client."""

import os
import time
import uuid

from anamnesis_client import AuthenticatedClient
from anamnesis_client.api.alerts import acknowledge_alert, get_alert, list_alerts
from anamnesis_client.api.patients import (
    create_patient,
    get_patient_history,
    present_consent_form,
    record_observation,
    sign_consent,
)
from anamnesis_client.api.reports import create_report
from anamnesis_client.api.sites import activate_site, create_site
from anamnesis_client.api.subjects import list_subjects
from anamnesis_client.api.trials import (
    add_arm,
    create_trial,
    define_eligibility,
    define_questionnaire,
    get_trial_questionnaire,
    open_enrolment,
    publish_consent_form,
)
from anamnesis_client.models import (
    AcknowledgeAlert,
    ActivateSite,
    AddArm,
    Alert,
    AlertStatus,
    Blinding,
    DefineEligibility,
    DefineQuestionnaire,
    ListSubjectsStatusItem,
    OpenEnrolment,
    PresentConsentForm,
    Problem,
    PublishConsentForm,
    RecordObservation,
    RegisterPatient,
    RegisterSite,
    RegisterTrial,
    Severity,
    SignConsent,
    SubmitReport,
)

client = AuthenticatedClient(base_url=os.environ["ANAMNESIS_URL"], token=os.environ["ANAMNESIS_TOKEN"])


def ok(answer):
    """The answer, or the problem as an error."""
    if answer is None or isinstance(answer, Problem):
        raise RuntimeError(answer)
    return answer


def until(what, ask):
    """Asks until the answer is there."""
    for _ in range(600):
        found = ask()
        if found:
            return found
        time.sleep(0.05)
    raise RuntimeError(f"never: {what}")


# Define.
trial_body = RegisterTrial(
    protocol=f"PY-{uuid.uuid4()}", title="Evening diaries", blinding=Blinding.OPEN_LABEL, planned_enrolment=10
)
trial_id = ok(create_trial.sync(client=client, body=trial_body, idempotency_key=str(uuid.uuid4()))).stream.id
ok(add_arm.sync(trial_id, client=client, body=AddArm(code="ALL", name="Everybody")))
adult = {
    "code": "ADULT",
    "text": "At least 18 years old",
    "category": "inclusion",
    "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18},
}
ok(define_eligibility.sync(trial_id, client=client, body=DefineEligibility.from_dict({"criteria": [adult]})))
form = PublishConsentForm.from_dict(
    {"form_version": "1", "language": "en", "text_sha256": "0" * 63 + "1", "effective_on": "2020-01-01"}
)
ok(publish_consent_form.sync(trial_id, client=client, body=form))
rule = {
    "code": "poor-day",
    "measure": {"kind": "answer", "item": "MOOD"},
    "operator": "at-most",
    "value": 1,
    "severity": "high",
    "recipients": ["investigator"],
    "acknowledge_within_minutes": 60,
}
diary = {
    "instrument": "DIARY",
    "version": "1",
    "title": "Evening diary",
    "source": "this example",
    "items": [{"code": "MOOD", "text": "How was your day?", "answers": {"kind": "integer", "min": 0, "max": 10}}],
    "alert_rules": [rule],
}
questionnaire = DefineQuestionnaire.from_dict({"questionnaire": {"definition": diary}})
ok(define_questionnaire.sync(trial_id, client=client, body=questionnaire))
site_body = RegisterSite(trial_id=trial_id, code="1", name="General Hospital", time_zone="Europe/Oslo")
site_id = ok(create_site.sync(client=client, body=site_body)).stream.id
ok(activate_site.sync(site_id, client=client, body=ActivateSite(enrolment_cap=5, investigator="dr-1")))
opened = ok(open_enrolment.sync(trial_id, client=client, body=OpenEnrolment()))

# What was defined can be read.
read = ok(get_trial_questionnaire.sync(trial_id, "DIARY", client=client, at_least=str(opened.position)))
assert read.items[0].text == "How was your day?", read

# Consent.
patient_id = ok(create_patient.sync(client=client, body=RegisterPatient.from_dict({"sex": "F"}))).stream.id
ok(record_observation.sync(patient_id, client=client, body=RecordObservation(code="AGE", value=40, unit="a")))
shown = PresentConsentForm(trial_id=trial_id, site_id=site_id, form_version="1", language="en")
ok(present_consent_form.sync(patient_id, client=client, body=shown))
ok(sign_consent.sync(patient_id, client=client, body=SignConsent(trial_id=trial_id, form_version="1", language="en")))
enrolled = [ListSubjectsStatusItem.ENROLLED, ListSubjectsStatusItem.RANDOMISED]
subject = until(
    "the patient is enrolled",
    lambda: ok(list_subjects.sync(client=client, trial_id=[trial_id], status=enrolled)).items,
)[0]

# Report, alert, acknowledge.
answered = SubmitReport.from_dict(
    {"subject_id": str(subject.subject_id), "instrument": "DIARY", "answers": {"MOOD": 1}}
)
report = ok(create_report.sync(client=client, body=answered))
alert: Alert = until(
    "an alert is raised", lambda: ok(list_alerts.sync(client=client, trial_id=[trial_id], open_=True)).items
)[0]
assert (alert.severity, alert.status) == (Severity.HIGH, AlertStatus.RAISED), alert
noted = acknowledge_alert.sync(
    alert.alert_id, client=client, body=AcknowledgeAlert(note="Called."), if_match=f'"{alert.version}"'
)
seen = ok(get_alert.sync(alert.alert_id, client=client, at_least=str(ok(noted).position)))
assert seen.status == AlertStatus.ACKNOWLEDGED, seen

# The history as of before the report.
history = ok(get_patient_history.sync(patient_id, client=client, at_position=report.events[0].position - 1))
types = [event.type_ for event in history.items]
assert "ConsentSigned" in types and "ReportSubmitted" not in types, types
print("done")
