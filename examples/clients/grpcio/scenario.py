"""A trial from its definition to an alert and back, by gRPC, with what grpcio-tools generates from `proto/`."""

import json
import os
import threading
import time
import uuid

import grpc
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from anamnesis.v1 import command_service_pb2, command_service_pb2_grpc
from anamnesis.v1 import event_service_pb2, event_service_pb2_grpc
from anamnesis.v1 import patient_service_pb2, patient_service_pb2_grpc
from anamnesis.v1 import report_service_pb2, report_service_pb2_grpc
from anamnesis.v1 import trial_service_pb2, trial_service_pb2_grpc

channel = grpc.insecure_channel(os.environ["ANAMNESIS_GRPC"])
metadata = [("authorization", f"Bearer {os.environ['ANAMNESIS_TOKEN']}")]
commands = command_service_pb2_grpc.CommandServiceStub(channel)
events = event_service_pb2_grpc.EventServiceStub(channel)
patients = patient_service_pb2_grpc.PatientServiceStub(channel)
reports = report_service_pb2_grpc.ReportServiceStub(channel)
trials = trial_service_pb2_grpc.TrialServiceStub(channel)
DEADLINE = 30


def execute(command, fields, target_id="", key="", if_match=""):
    """Sends any command."""
    request = command_service_pb2.ExecuteRequest(
        command=command, target_id=target_id, fields_json=json.dumps(fields), idempotency_key=key, if_match=if_match
    )
    return commands.Execute(request, metadata=metadata, timeout=DEADLINE).answer


def refused(call):
    """The code, the rule and the fields of a call that must fail."""
    try:
        call()
    except grpc.RpcError as error:
        found = {"fields": []}
        for detail in rpc_status.from_call(error).details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                information = error_details_pb2.ErrorInfo()
                detail.Unpack(information)
                found["rule"] = information.reason
            if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad = error_details_pb2.BadRequest()
                detail.Unpack(bad)
                found["fields"] = [violation.field for violation in bad.field_violations]
        return error.code(), found["rule"], found["fields"]
    raise AssertionError("it was not refused")


def until(what, ask):
    """Asks until the answer is there."""
    for _ in range(600):
        found = ask()
        if found:
            return found
        time.sleep(0.05)
    raise RuntimeError(f"never: {what}")


# The server tells of itself, without a token.
served = ProtoReflectionDescriptorDatabase(channel).get_services()
assert "anamnesis.v1.PatientService" in served and "grpc.health.v1.Health" in served, served
health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
assert health.status == health_pb2.HealthCheckResponse.SERVING, health

# Whoever follows hears of everything below.
heard, told = [], threading.Event()


def follow():
    try:
        for message in events.Subscribe(event_service_pb2.SubscribeRequest(after="0"), metadata=metadata):
            if message.WhichOneof("message") == "event":
                heard.append(message.event)
            told.set()
    except grpc.RpcError:
        pass


threading.Thread(target=follow, daemon=True).start()
assert told.wait(DEADLINE), "a subscription shows that it lives"

# Define.
key = str(uuid.uuid4())
trial = {"protocol": f"GRPC-{uuid.uuid4()}", "title": "Evening diaries", "blinding": "open-label", "planned_enrolment": 10}
registered = execute("RegisterTrial", trial, key=key)
trial_id = registered.stream.id
again = execute("RegisterTrial", trial, key=key)
assert again.replayed and again.stream.id == trial_id and not registered.replayed
execute("AddArm", {"code": "ALL", "name": "Everybody"}, trial_id)
adult = {
    "code": "ADULT",
    "text": "At least 18 years old",
    "category": "inclusion",
    "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18},
}
execute("DefineEligibility", {"criteria": [adult]}, trial_id)
form = {"form_version": "1", "language": "en", "text_sha256": "0" * 63 + "1", "effective_on": "2020-01-01"}
execute("PublishConsentForm", form, trial_id)
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
execute("DefineQuestionnaire", {"questionnaire": {"definition": diary}}, trial_id)
site = {"trial_id": trial_id, "code": "1", "name": "General Hospital", "time_zone": "Europe/Oslo"}
site_id = execute("RegisterSite", site).stream.id
execute("ActivateSite", {"enrolment_cap": 5, "investigator": "dr-1"}, site_id)
opened = execute("OpenEnrolment", {}, trial_id)

sites = trials.ListSites(
    trial_service_pb2.ListSitesRequest(trial_id=trial_id, at_least=str(opened.position)),
    metadata=metadata,
    timeout=DEADLINE,
)
assert [known.site for known in sites.sites] == ["1"], sites
assert sites.sites[0].status == trial_service_pb2.SITE_STATUS_ACTIVE, sites

# Eligible or not, and why.
patient_id = execute("RegisterPatient", {"sex": "F"}).stream.id
check = patient_service_pb2.CheckEligibilityRequest(patient_id=patient_id, trial_id=trial_id)
unknown = patients.CheckEligibility(check, metadata=metadata, timeout=DEADLINE)
assert not unknown.eligible and list(unknown.missing_observations) == ["AGE"], unknown
observed = execute("RecordObservation", {"code": "AGE", "value": 40, "unit": "a"}, patient_id)
check.at_least = str(observed.position)
eligible = patients.CheckEligibility(check, metadata=metadata, timeout=DEADLINE)
assert eligible.eligible and eligible.criteria[0].result == patient_service_pb2.CRITERION_RESULT_MET, eligible
assert eligible.criteria[0].seen.number == 40 and eligible.position >= observed.position, eligible

# Consent.
shown = {"trial_id": trial_id, "site_id": site_id, "form_version": "1", "language": "en"}
execute("PresentConsentForm", shown, patient_id)
signed = execute("SignConsent", {"trial_id": trial_id, "form_version": "1", "language": "en"}, patient_id)
patient = patients.GetPatient(
    patient_service_pb2.GetPatientRequest(patient_id=patient_id, at_least=str(signed.position)),
    metadata=metadata,
    timeout=DEADLINE,
).patient
assert patient.observations["AGE"].value.number == 40 and patient.standing.version > 0, patient
page = patient_service_pb2.ListPatientsByTrialRequest(
    trial_id=trial_id,
    statuses=[patient_service_pb2.SUBJECT_STATUS_ENROLLED, patient_service_pb2.SUBJECT_STATUS_RANDOMISED],
    page_size=1,
)
subject = until(
    "the patient is enrolled",
    lambda: patients.ListPatientsByTrial(page, metadata=metadata, timeout=DEADLINE).subjects,
)[0]
assert subject.patient_id == patient_id and subject.eligibility == patient_service_pb2.ELIGIBILITY_OUTCOME_ELIGIBLE
streamed = patient_service_pb2.StreamPatientsByTrialRequest(trial_id=trial_id)
streamed = [one.subject.subject_id for one in patients.StreamPatientsByTrial(streamed, metadata=metadata, timeout=DEADLINE)]
assert streamed == [subject.subject_id], streamed

# Report, alert, acknowledge.
completed_at = timestamp_pb2.Timestamp()
completed_at.GetCurrentTime()
report = report_service_pb2.SubmitReportRequest(
    subject_id=subject.subject_id,
    instrument="DIARY",
    answers={"MOOD": report_service_pb2.Answer(number=1)},
    completed_at=completed_at,
    idempotency_key=str(uuid.uuid4()),
)
submitted = reports.SubmitReport(report, metadata=metadata, timeout=DEADLINE).answer
replayed = reports.SubmitReport(report, metadata=metadata, timeout=DEADLINE).answer
assert replayed.replayed and replayed.position == submitted.position, replayed
latest = reports.GetLatestReport(
    report_service_pb2.GetLatestReportRequest(patient_id=patient_id, at_least=str(submitted.position)),
    metadata=metadata,
    timeout=DEADLINE,
).report
assert latest.report_id == submitted.stream.id and latest.answers["MOOD"].number == 1, latest
raised = until("an alert is raised", lambda: [event for event in heard if event.event_type == "AlertRaised"])[0]
acknowledged = execute("AcknowledgeAlert", {"note": "Called."}, raised.stream.id, if_match='"1"')
assert acknowledged.version == 2, acknowledged

# Figures, as of what was done.
progress = trials.GetTrialProgress(
    trial_service_pb2.GetTrialProgressRequest(trial_id=trial_id, at_least=str(acknowledged.position)),
    metadata=metadata,
    timeout=DEADLINE,
).progress
assert progress.consented == 1 and progress.enrolled == 1 and progress.by_site[0].site == "1", progress

# The log as it was heard: positions only grow, and payloads are JSON.
until("all is heard", lambda: [event for event in heard if event.event_type == "AlertAcknowledged"])
positions = [event.position for event in heard]
assert positions == sorted(set(positions)), positions
assert json.loads(raised.payload_json)["rule"] == "poor-day", raised

# What is wrong is told as by REST.
Code = grpc.StatusCode
stale = lambda: execute("ResolveAlert", {"action_taken": "Called."}, raised.stream.id, if_match='"1"')
assert refused(stale)[:2] == (Code.FAILED_PRECONDITION, "version-mismatch"), refused(stale)
code, broken, fields = refused(lambda: execute("SignConsent", {"trial_id": "x"}, patient_id))
assert (code, broken) == (Code.INVALID_ARGUMENT, "malformed") and "trial_id" in fields, (code, broken, fields)
nobody = patient_service_pb2.GetPatientRequest(patient_id=str(uuid.uuid4()))
assert refused(lambda: patients.GetPatient(nobody, metadata=metadata))[:2] == (Code.NOT_FOUND, "not-found")
assert refused(lambda: patients.GetPatient(nobody))[:2] == (Code.UNAUTHENTICATED, "unauthenticated")
late = lambda: list(events.Subscribe(event_service_pb2.SubscribeRequest(), metadata=metadata, timeout=0.5))
try:
    late()
    raise AssertionError("nothing follows for ever")
except grpc.RpcError as error:
    assert error.code() == Code.DEADLINE_EXCEEDED, error
print("done")
