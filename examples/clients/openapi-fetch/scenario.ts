// A trial from its definition to an alert and back in time, with openapi-typescript and openapi-fetch.
import { randomUUID } from "node:crypto";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];

const { ANAMNESIS_URL: baseUrl, ANAMNESIS_TOKEN: token } = process.env;
if (!baseUrl || !token) throw new Error("ANAMNESIS_URL and ANAMNESIS_TOKEN are needed");
const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}` } });

/** The data of an answer, or the problem as an error. */
async function ok<T>(call: Promise<{ data?: T; error?: Schemas["Problem"] }>): Promise<T> {
  const { data, error } = await call;
  if (data === undefined) throw new Error(`${error?.rule}: ${error?.detail}`);
  return data;
}

/** Asks until the answer is there. */
async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  for (let left = 600; left > 0; left -= 1) {
    const found = await ask();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never: ${what}`);
}

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

// Define.
const registered = await ok(
  client.POST("/v1/trials", {
    params: { header: { "Idempotency-Key": randomUUID() } },
    body: {
      protocol: `TS-${randomUUID()}`,
      title: "Evening diaries",
      blinding: "open-label",
      planned_enrolment: 10,
    },
  }),
);
const trial = { path: { id: registered.stream.id } };
const trial_id = registered.stream.id;
await ok(client.POST("/v1/trials/{id}/add-arm", { params: trial, body: { code: "ALL", name: "Everybody" } }));
await ok(
  client.POST("/v1/trials/{id}/define-eligibility", {
    params: trial,
    body: {
      criteria: [
        {
          code: "ADULT",
          text: "At least 18 years old",
          category: "inclusion",
          test: { kind: "observation", code: "AGE", operator: "at-least", value: 18 },
        },
      ],
    },
  }),
);
await ok(
  client.POST("/v1/trials/{id}/publish-consent-form", {
    params: trial,
    body: { form_version: "1", language: "en", text_sha256: "0".repeat(63) + "1", effective_on: "2020-01-01" },
  }),
);
const diary: Schemas["QuestionnaireDefinition"] = {
  instrument: "DIARY",
  version: "1",
  title: "Evening diary",
  source: "this example",
  items: [{ code: "MOOD", text: "How was your day?", answers: { kind: "integer", min: 0, max: 10 } }],
  alert_rules: [
    {
      code: "poor-day",
      measure: { kind: "answer", item: "MOOD" },
      operator: "at-most",
      value: 1,
      severity: "high",
      recipients: ["investigator"],
      acknowledge_within_minutes: 60,
    },
  ],
};
await ok(
  client.POST("/v1/trials/{id}/define-questionnaire", { params: trial, body: { questionnaire: { definition: diary } } }),
);
const site = await ok(
  client.POST("/v1/sites", { body: { trial_id, code: "1", name: "General Hospital", time_zone: "Europe/Oslo" } }),
);
const site_id = site.stream.id;
await ok(
  client.POST("/v1/sites/{id}/activate-site", {
    params: { path: { id: site_id } },
    body: { enrolment_cap: 5, investigator: "dr-1" },
  }),
);
const opened = await ok(client.POST("/v1/trials/{id}/open-enrolment", { params: trial, body: {} }));

// What was defined can be read.
const read = await ok(
  client.GET("/v1/trials/{id}/questionnaires/{instrument}", {
    params: { path: { id: trial_id, instrument: "DIARY" }, query: { at_least: String(opened.position) } },
  }),
);
must(read.items[0]?.text === "How was your day?", "the questionnaire can be read");

// Consent.
const patient = await ok(client.POST("/v1/patients", { body: { sex: "F" } }));
const patient_id = patient.stream.id;
const person = { path: { id: patient_id } };
await ok(
  client.POST("/v1/patients/{id}/record-observation", { params: person, body: { code: "AGE", value: 40, unit: "a" } }),
);
await ok(
  client.POST("/v1/patients/{id}/present-consent-form", {
    params: person,
    body: { trial_id, site_id, form_version: "1", language: "en" },
  }),
);
await ok(
  client.POST("/v1/patients/{id}/sign-consent", {
    params: person,
    body: { trial_id, form_version: "1", language: "en" },
  }),
);
const subject = await until("the patient is enrolled", async () => {
  const page = await ok(
    client.GET("/v1/subjects", { params: { query: { trial_id: [trial_id], status: ["enrolled", "randomised"] } } }),
  );
  return page.items[0];
});

// Report, alert, acknowledge.
const report = await ok(
  client.POST("/v1/reports", { body: { subject_id: subject.subject_id, instrument: "DIARY", answers: { MOOD: 1 } } }),
);
const alert = await until("an alert is raised", async () => {
  const page = await ok(client.GET("/v1/alerts", { params: { query: { trial_id: [trial_id], open: true } } }));
  return page.items[0];
});
must(alert.severity === "high" && alert.status === "raised", "a high alert waits");
const acknowledged = await ok(
  client.POST("/v1/alerts/{id}/acknowledge-alert", {
    params: { path: { id: alert.alert_id }, header: { "If-Match": `"${alert.version}"` } },
    body: { note: "Called." },
  }),
);
const seen = await ok(
  client.GET("/v1/alerts/{id}", {
    params: { path: { id: alert.alert_id }, query: { at_least: String(acknowledged.position) } },
  }),
);
must(seen.status === "acknowledged", "it is acknowledged");

// The history as of before the report.
const history = await ok(
  client.GET("/v1/patients/{id}/history", {
    params: { ...person, query: { at_position: report.events[0]!.position - 1 } },
  }),
);
must(history.items.some((event) => event.type === "ConsentSigned"), "the consent was known");
must(!history.items.some((event) => event.type === "ReportSubmitted"), "the report was not known yet");
console.log("done");
