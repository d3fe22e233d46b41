"""A trial from its definition to an alert and back in time, with openapi-generator's `python`."""

import os
import time
import uuid

import anamnesis_generated as generated
from anamnesis_generated import models

configuration = generated.Configuration(
    host=os.environ["ANAMNESIS_URL"], access_token=os.environ["ANAMNESIS_TOKEN"]
)
api = generated.ApiClient(configuration)
trials, sites = generated.TrialsApi(api), generated.SitesApi(api)
patients, subjects = generated.PatientsApi(api), generated.SubjectsApi(api)
reports, alerts = generated.ReportsApi(api), generated.AlertsApi(api)


def until(what, ask):
    """Asks until the answer is there."""
    for _ in range(600):
        found = ask()
        if found:
            return found
        time.sleep(0.05)
    raise RuntimeError(f"never: {what}")


# Define.
registered = trials.create_trial(
    models.RegisterTrial(
        protocol=f"OG-{uuid.uuid4()}",
        title="Evening diaries",
        blinding=models.Blinding.OPEN_MINUS_LABEL,
        planned_enrolment=10,
    ),
    idempotency_key=str(uuid.uuid4()),
)
trial_id = registered.stream.id
trials.add_arm(trial_id, models.AddArm(code="ALL", name="Everybody"))
adult = {
    "code": "ADULT",
    "text": "At least 18 years old",
    "category": "inclusion",
    "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18},
}
trials.define_eligibility(trial_id, models.DefineEligibility.from_dict({"criteria": [adult]}))
form = {"form_version": "1", "language": "en", "text_sha256": "0" * 63 + "1", "effective_on": "2020-01-01"}
trials.publish_consent_form(trial_id, models.PublishConsentForm.from_dict(form))
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
trials.define_questionnaire(trial_id, models.DefineQuestionnaire.from_dict({"questionnaire": {"definition": diary}}))
site = sites.create_site(
    models.RegisterSite(trial_id=trial_id, code="1", name="General Hospital", time_zone="Europe/Oslo")
)
site_id = site.stream.id
sites.activate_site(site_id, models.ActivateSite(enrolment_cap=5, investigator="dr-1"))
opened = trials.open_enrolment(trial_id, models.OpenEnrolment())

# What was defined can be read.
read = trials.get_trial_questionnaire(trial_id, "DIARY", at_least=str(opened.position))
assert read.items[0].text == "How was your day?", read

# Consent.
patient_id = patients.create_patient(models.RegisterPatient(sex="F")).stream.id
age = models.RecordObservation(code="AGE", value=models.ObservationValue(40.0), unit="a")
patients.record_observation(patient_id, age)
patients.present_consent_form(
    patient_id, models.PresentConsentForm(trial_id=trial_id, site_id=site_id, form_version="1", language="en")
)
patients.sign_consent(patient_id, models.SignConsent(trial_id=trial_id, form_version="1", language="en"))
subject = until(
    "the patient is enrolled",
    lambda: subjects.list_subjects(trial_id=[trial_id], status=["enrolled", "randomised"]).items,
)[0]

# Report, alert, acknowledge.
report = reports.create_report(
    models.SubmitReport(subject_id=subject.subject_id, instrument="DIARY", answers={"MOOD": models.Answer(1.0)})
)
alert = until("an alert is raised", lambda: alerts.list_alerts(trial_id=[trial_id], open=True).items)[0]
assert (alert.severity, alert.status) == (models.Severity.HIGH, models.AlertStatus.RAISED), alert
noted = alerts.acknowledge_alert(
    alert.alert_id, models.AcknowledgeAlert(note="Called."), if_match=f'"{alert.version}"'
)
seen = alerts.get_alert(alert.alert_id, at_least=str(noted.position))
assert seen.status == models.AlertStatus.ACKNOWLEDGED, seen

# The history as of before the report.
history = patients.get_patient_history(patient_id, at_position=report.events[0].position - 1)
types = [event.type for event in history.items]
assert "ConsentSigned" in types and "ReportSubmitted" not in types, types
print("done")
