//! The trial as the export describes it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use domain::commands::AnyCommand;
use domain::site::{ActivateSite, RegisterSite};
use domain::trial::{AddArm, DefineEligibility, OpenEnrolment, PublishConsentForm, RegisterTrial};
use domain::validate;
use events::TimeZone;
use events::identifier;
use events::ids::TrialId;
use events::trial::{Blinding, Criterion, CriterionCategory, CriterionTest, EnrolmentMode};

use super::super::accounts::{Accounts, RowId};
use super::super::dates::{SdtmDate, midnight};
use super::super::numbers;
use super::super::rows::{CriterionRow, Demographics, Parameter, Text};
use super::super::study::{Study, tidy};
use super::course::{NO_ARM, is_no_arm, planned_arm};
use super::{
    CONSENT_FORM_LANGUAGE, CONSENT_FORM_VERSION, Frame, InstrumentPlan, REGISTERED, Step, TrialPlan, is_term, study_id,
};

/// Parameters of the trial's summary that the system keeps.
const KEPT_PARAMETERS: [&str; 5] = ["TITLE", "TPHASE", "TBLIND", "PLANSUB", "SSTDTC"];
/// How many may take part where the export does not tell: what a later transfer adds is not kept out by a number that this
/// one would make up.
const UNTOLD_MAX: u32 = 100_000;
/// SHA-256 of an empty text: the form's own is not in the export.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Plans how the trial is set up. `study_name` is its `STUDYID`.
pub fn plan_trial(study: &Study, study_name: &Text, accounts: &mut Accounts) -> TrialPlan {
    let trial_id = TrialId::from(study_id("sdtm-trial", study_name, &[]));
    let mut planner = TrialPlanner {
        accounts,
        steps: Vec::new(),
        rows: BTreeSet::new(),
        frame: Frame {
            study: study_name.clone(),
            trial_id,
            arms: Vec::new(),
            judgements: BTreeMap::new(),
            visit_names: BTreeMap::new(),
            instruments: BTreeMap::new(),
            shared_numbers: shared_numbers(study),
            columns: study.columns.clone(),
        },
        start: None,
    };
    planner.register(study);
    planner.arms(study);
    planner.criteria(&study.criteria);
    planner.consent_form(study);
    planner.questionnaires(study);
    planner.visits(study);
    planner.sites(study);
    planner.trial_step(Vec::new(), &OpenEnrolment { occurred_at: planner.start.into() });
    TrialPlan { steps: planner.steps, rows: planner.rows, frame: planner.frame }
}

/// Numbers that more than one subject has.
fn shared_numbers(study: &Study) -> HashSet<Text> {
    let mut holders: HashMap<&Text, u32> = HashMap::new();
    for number in study.subjects.values().filter_map(|subject| subject.demographics.number.as_ref()) {
        *holders.entry(number).or_default() += 1;
    }
    holders.into_iter().filter(|(_, count)| *count > 1).map(|(number, _)| number.clone()).collect()
}

struct TrialPlanner<'plan> {
    accounts: &'plan mut Accounts,
    steps: Vec<Step>,
    rows: BTreeSet<RowId>,
    frame: Frame,
    start: Option<DateTime<Utc>>,
}

impl TrialPlanner<'_> {
    fn trial_step<C>(&mut self, rows: Vec<RowId>, command: &C)
    where
        C: decider::Command<Target = TrialId> + Clone,
        AnyCommand: From<(TrialId, C)>,
    {
        self.rows.extend(&rows);
        self.steps.push(Step::new(rows, self.frame.trial_id, command));
    }

    /// The trial itself, from the summary's parameters.
    fn register(&mut self, study: &Study) {
        let summary = Summary::read(&study.parameters, self.accounts);
        let enrolled = study.subjects.values().filter(|subject| has_arm(&subject.demographics)).count();
        let enrolled = u32::try_from(enrolled).unwrap_or(u32::MAX);
        let planned = summary.planned_enrolment.map_or(UNTOLD_MAX, |(row, planned)| {
            if planned < enrolled {
                let text = format!("{enrolled} subjects were enrolled: that many are planned, not {planned}");
                self.accounts.note(row, None, text);
            }
            planned.max(enrolled)
        });
        self.start = summary.start.or_else(|| earliest_day(study)).map(midnight);
        let trial = RegisterTrial {
            protocol: self.frame.study.to_string(),
            title: summary.title.unwrap_or_else(|| self.frame.study.to_string()),
            phase: summary.phase,
            // Where the export does not tell, nobody is shown the allocation who should not see it.
            blinding: summary.blinding.unwrap_or(Blinding::DoubleBlind),
            planned_enrolment: planned.max(1),
            enrolment_mode: EnrolmentMode::Manual,
            occurred_at: self.start.into(),
        };
        self.trial_step(summary.rows, &trial);
        if let Some(register) = self.steps.last_mut() {
            register.gate = Some(REGISTERED);
        }
    }

    /// The arms of TA, and those that only subjects name.
    fn arms(&mut self, study: &Study) {
        let mut rows: BTreeMap<Text, (Text, Vec<RowId>)> = BTreeMap::new();
        for element in &study.arm_elements {
            let Some(code) = element.code.clone().filter(|code| !is_no_arm(code)) else {
                self.accounts.leave_out(element.at, None, "ARMCD names no arm");
                continue;
            };
            let name = element.name.clone().unwrap_or_else(|| code.clone());
            rows.entry(code).or_insert_with(|| (name, Vec::new())).1.push(element.at);
            self.accounts.pattern(element.at, "of an arm's elements the arm is kept; this version has no epochs");
        }
        for subject in study.subjects.values().map(|subject| &subject.demographics) {
            let Some(code) = planned_arm(subject).cloned() else { continue };
            if !rows.keys().any(|known| identifier::same(known, &code)) {
                let text = format!("ta has no arm `{code}`: added from dm");
                self.accounts.note(subject.at, Some(&subject.subject), text);
                let name = subject.arm_name.clone().unwrap_or_else(|| code.clone());
                rows.insert(code, (name, Vec::new()));
            }
        }
        if rows.is_empty() {
            // A trial without arms cannot open.
            rows.insert(NO_ARM.into(), ("No arms in the export".into(), Vec::new()));
        }
        for (code, (name, rows)) in rows {
            let arm = AddArm {
                code: code.to_string(),
                name: tidy(&name),
                allocation_weight: 1,
                occurred_at: self.start.into(),
            };
            self.trial_step(rows, &arm);
            self.frame.arms.push((code, name));
        }
    }

    /// The criteria of TI, in their latest version; each was judged by the investigator.
    fn criteria(&mut self, rows: &[CriterionRow]) {
        let latest = rows.iter().filter_map(|row| row.version.clone()).max_by(|one, other| by_version(one, other));
        let (mut criteria, mut taken) = (Vec::new(), Vec::new());
        for row in rows {
            match criterion(row, latest.as_ref(), &criteria) {
                Ok(criterion) => {
                    criteria.push(criterion);
                    taken.push(row.at);
                }
                Err(Left::Wrong(reason)) => self.accounts.reject(row.at, None, reason),
                Err(Left::WithoutPlace(reason)) => self.accounts.leave_out(row.at, None, reason),
            }
        }
        // In one order, whatever that of the rows: the same criteria are not defined twice.
        let place =
            |criterion: &Criterion| (criterion.category == CriterionCategory::Exclusion, criterion.code.clone());
        criteria.sort_by_key(place);
        if criteria.is_empty() {
            // A trial without criteria cannot open.
            criteria.push(Criterion {
                code: "ELIGIBLE".to_owned(),
                text: "Eligible; the export holds no criteria".to_owned(),
                category: CriterionCategory::Inclusion,
                test: CriterionTest::Judgement,
            });
        }
        let judgement =
            |criterion: &Criterion| (criterion.code.clone(), criterion.category == CriterionCategory::Inclusion);
        self.frame.judgements = criteria.iter().map(judgement).collect();
        self.trial_step(taken, &DefineEligibility { criteria, occurred_at: self.start.into() });
    }

    fn consent_form(&mut self, study: &Study) {
        let form = PublishConsentForm {
            form_version: CONSENT_FORM_VERSION.to_owned(),
            language: CONSENT_FORM_LANGUAGE.to_owned(),
            text_sha256: EMPTY_SHA256.to_owned(),
            // In force as long as anybody can have signed it: another part of the study may begin earlier.
            effective_on: NaiveDate::from_ymd_opt(1900, 1, 1).unwrap_or_default(),
            occurred_at: self.start.into(),
        };
        self.trial_step(Vec::new(), &form);
        if let Some(first) = study.subjects.values().map(|subject| subject.demographics.at).min() {
            let text = "the consent form is not in the export: one of version SDTM with an empty text stands for it";
            self.accounts.pattern(first, text);
        }
    }

    fn questionnaires(&mut self, study: &Study) {
        for (category, seen) in &study.instruments {
            // One that cannot be defined is told of at each of its answers.
            let Ok(plan) = InstrumentPlan::new(&tidy(category), seen) else { continue };
            let command = plan.define();
            self.trial_step(Vec::new(), &command);
            self.frame.instruments.insert(category.clone(), plan);
        }
    }

    fn visits(&mut self, study: &Study) {
        for visit in &study.planned_visits {
            let (Some(number), Some(name)) = (&visit.number, &visit.name) else {
                self.accounts.leave_out(visit.at, None, "VISITNUM or VISIT is empty: the row names no visit");
                continue;
            };
            self.rows.insert(visit.at);
            self.frame.visit_names.entry(number.clone()).or_insert_with(|| name.clone());
            self.accounts.pattern(visit.at, "planned visits name the attended ones; this version has no schedule");
        }
    }

    /// The sites of the subjects. Exports do not tell how many each may enrol: as many as come, also with a later transfer.
    fn sites(&mut self, study: &Study) {
        let mut sites: BTreeMap<String, (&Text, &Demographics)> = BTreeMap::new();
        for subject in study.subjects.values() {
            if let Some(site) = &subject.demographics.site {
                sites.entry(identifier::key(site)).or_insert((site, &subject.demographics));
            }
        }
        for (code, subject) in sites.into_values() {
            let alpha_3 = |code: &&Text| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
            let site_id = self.frame.site(code);
            let register = RegisterSite {
                trial_id: self.frame.trial_id,
                code: code.to_string(),
                name: format!("Site {code}"),
                country: subject.country.as_ref().filter(alpha_3).map(ToString::to_string),
                // The tables do not tell it; days are compared with days.
                time_zone: TimeZone::UTC,
                occurred_at: self.start.into(),
            };
            let activate = ActivateSite {
                enrolment_cap: UNTOLD_MAX,
                investigator: format!("investigator-{code}"),
                occurred_at: self.start.into(),
            };
            self.steps.push(Step::new(Vec::new(), site_id, &register));
            self.steps.push(Step::new(Vec::new(), site_id, &activate));
        }
    }
}

fn has_arm(subject: &Demographics) -> bool {
    planned_arm(subject).is_some()
}

/// The earliest day in the demographics.
fn earliest_day(study: &Study) -> Option<NaiveDate> {
    let subjects = study.subjects.values().map(|subject| &subject.demographics);
    let dates = subjects.flat_map(|subject| [&subject.consent, &subject.collected, &subject.first_dose]);
    dates.flatten().filter_map(|date| SdtmDate::parse(date).ok()?.day()).min()
}

/// Orders versions by number where they are numbers.
fn by_version(one: &str, other: &str) -> std::cmp::Ordering {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.total_cmp(&other),
        _ => one.cmp(other),
    }
}

/// Why a row is not taken.
enum Left {
    /// It has no place here, or changes nothing.
    WithoutPlace(String),
    /// Something is wrong.
    Wrong(String),
}

impl From<String> for Left {
    fn from(reason: String) -> Self {
        Left::Wrong(reason)
    }
}

impl From<&str> for Left {
    fn from(reason: &str) -> Self {
        Left::Wrong(reason.to_owned())
    }
}

fn criterion(row: &CriterionRow, latest: Option<&Text>, earlier: &[Criterion]) -> Result<Criterion, Left> {
    let code = row.code.as_ref().ok_or("IETESTCD is empty")?;
    let text = row.text.as_ref().ok_or("IETEST is empty")?;
    let category = match row.category.as_ref() {
        category if is_term(category, "INCLUSION") => CriterionCategory::Inclusion,
        category if is_term(category, "EXCLUSION") => CriterionCategory::Exclusion,
        _ => return Err("IECAT is neither INCLUSION nor EXCLUSION".into()),
    };
    if row.version.is_some() && row.version.as_ref() != latest {
        return Err(Left::WithoutPlace("a later version of the criteria is taken".to_owned()));
    }
    validate::code("IETESTCD", code).map_err(|error| error.to_string())?;
    if let Some(same) = earlier.iter().find(|criterion| *criterion.code == **code) {
        if same.text == tidy(text) && same.category == category {
            return Err(Left::WithoutPlace(format!("the criterion `{code}` stands there already")));
        }
        return Err(format!("the criterion `{code}` stands there already, and otherwise").into());
    }
    if earlier.len() == validate::LIST_LENGTH_MAX {
        return Err(format!("a trial has at most {} criteria", validate::LIST_LENGTH_MAX).into());
    }
    Ok(Criterion { code: code.to_string(), text: tidy(text), category, test: CriterionTest::Judgement })
}

/// What the trial's summary says of what the system keeps.
#[derive(Default)]
struct Summary {
    title: Option<String>,
    phase: Option<String>,
    blinding: Option<Blinding>,
    planned_enrolment: Option<(RowId, u32)>,
    start: Option<NaiveDate>,
    rows: Vec<RowId>,
}

impl Summary {
    fn read(parameters: &[Parameter], accounts: &mut Accounts) -> Self {
        let mut summary = Self::default();
        for parameter in parameters {
            match summary.take(parameter) {
                Ok(()) => summary.rows.push(parameter.at),
                Err(Left::Wrong(reason)) => accounts.reject(parameter.at, None, reason),
                Err(Left::WithoutPlace(reason)) => accounts.leave_out(parameter.at, None, reason),
            }
        }
        if summary.blinding.is_none() {
            accounts.remark("ts tells no usable TBLIND: the trial is registered as double-blind");
        }
        summary
    }

    fn take(&mut self, parameter: &Parameter) -> Result<(), Left> {
        let code = parameter.code.as_ref().ok_or("TSPARMCD is empty")?;
        if !KEPT_PARAMETERS.iter().any(|kept| code.eq_ignore_ascii_case(kept)) {
            return Err(Left::WithoutPlace(format!("the trial's parameter {code} has no place in this version")));
        }
        let Some(value) = parameter.value.as_ref().map(|value| tidy(value)) else {
            return Err(Left::WithoutPlace(format!("{code} has no value")));
        };
        let line = |value: &str| validate::text(code, value).map_err(|error| error.to_string());
        match code.to_uppercase().as_str() {
            "TITLE" => line(&value).and_then(|()| once(&mut self.title, value))?,
            "TPHASE" => line(&value).and_then(|()| once(&mut self.phase, value))?,
            "TBLIND" => once(&mut self.blinding, blinding(&value)?)?,
            "PLANSUB" => {
                let planned = numbers::shown(&value).parse().ok().filter(|planned| (1..=1_000_000).contains(planned));
                let planned = planned.ok_or_else(|| format!("`{value}` is not a number from 1 to 1000000"))?;
                once(&mut self.planned_enrolment, (parameter.at, planned))?;
            }
            // SSTDTC: when the study began.
            _ => {
                let day = SdtmDate::parse(&value).map_err(|error| error.to_string())?.day();
                once(&mut self.start, day.ok_or_else(|| format!("`{value}` is not a whole date"))?)?;
            }
        }
        Ok(())
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    if place.is_some() {
        return Err("a second value of the parameter; the first is taken".to_owned());
    }
    *place = Some(value);
    Ok(())
}

fn blinding(value: &str) -> Result<Blinding, String> {
    match value.to_uppercase().as_str() {
        "OPEN LABEL" | "OPEN-LABEL" | "OPEN LABEL TO TREATMENT AND DOUBLE BLIND TO IMP DOSE" | "NONE" => {
            Ok(Blinding::OpenLabel)
        }
        "SINGLE BLIND" | "SINGLE-BLIND" => Ok(Blinding::SingleBlind),
        "DOUBLE BLIND" | "DOUBLE-BLIND" | "TRIPLE BLIND" | "QUADRUPLE BLIND" => Ok(Blinding::DoubleBlind),
        _ => Err(format!("`{value}` is no way of blinding that this version knows")),
    }
}
