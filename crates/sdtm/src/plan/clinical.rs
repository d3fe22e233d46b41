//! Visits and adverse events.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::When;
use domain::safety::adverse_event::ReportAdverseEvent;
use domain::visit::RecordVisit;
use events::ids::{AdverseEventId, VisitId};
use events::safety::adverse_event::AdverseEventSeverity;

use super::super::numbers::SdtmNumber;
use super::super::rows::{AdverseEventRow, SubjectVisit, Text};
use super::super::study::tidy;
use super::subject::{Planner, Rank};

/// When the subject came to the visits, by `VISITNUM` or else `VISIT`.
pub type VisitDays = BTreeMap<Text, DateTime<Utc>>;

impl Planner<'_> {
    /// Plans the visits; gives their days for forms that have none of their own.
    pub fn visits(&mut self, rows: &[SubjectVisit]) -> VisitDays {
        let mut seen: HashMap<[Option<&Text>; 3], u64> = HashMap::new();
        let mut days = VisitDays::new();
        for row in rows {
            let earlier = *seen.entry([row.number.as_ref(), row.name.as_ref(), row.start.as_ref()]).or_insert(row.line);
            if earlier != row.line {
                self.reject(row.id(), format!("repeats line {earlier}"));
                continue;
            }
            match self.visit(row) {
                Ok(day) => {
                    if let (Some(key), Some(day)) = (row.number.as_ref().or(row.name.as_ref()), day) {
                        days.entry(key.clone()).or_insert(day);
                    }
                }
                Err(reason) => self.reject(row.id(), reason),
            }
        }
        days
    }

    fn visit(&mut self, row: &SubjectVisit) -> Result<Option<DateTime<Utc>>, String> {
        if row.missed {
            return Err("the visit did not take place (SVOCCUR is N)".to_owned());
        }
        let planned = row.number.as_ref().and_then(|number| self.frame.visit_names.get(number));
        let name = match (&row.name, planned, &row.number) {
            (Some(name), _, _) => tidy(name),
            (None, Some(planned), _) => tidy(planned),
            (None, None, Some(number)) => format!("VISIT {number}"),
            (None, None, None) => return Err("VISITNUM and VISIT are empty".to_owned()),
        };
        let date = match (&row.start, &row.end) {
            (Some(start), _) => parsed("SVSTDTC", start)?,
            (None, Some(end)) => {
                self.note(row.id(), "SVSTDTC is empty: SVENDTC is taken");
                parsed("SVENDTC", end)?
            }
            (None, None) => return Err("SVSTDTC is empty: the visit has no date".to_owned()),
        };
        if date.day().is_none() || date.shortened {
            self.note(row.id(), format!("the visit's date is kept as `{}`", date.date));
        }
        let number = row.number.as_ref().and_then(|number| SdtmNumber::parse(number)).map(SdtmNumber::quantity);
        if let (Some(text), None) = (&row.number, number) {
            self.note(row.id(), format!("VISITNUM `{text}` is no number: not kept"));
        }
        // Of a partial date the first day that it can mean may lie before the consent, the visit itself does not.
        let at = match date.moment() {
            Some(at) => self.covered(row.id(), "came to the visit", at),
            None => date.earliest().max(self.consent.at),
        };
        let visit = RecordVisit {
            subject_id: self.frame.subject(&self.subject),
            visit: name,
            visit_number: number,
            attended_on: date.date.clone(),
            occurred_at: When::at(at),
        };
        let cell = |text: &Option<Text>| text.as_ref().map_or("", |text| text).to_owned();
        let key = [self.subject.to_string(), cell(&row.number), cell(&row.name), cell(&row.start)];
        let visit_id = VisitId::from(self.frame.id("sdtm-visit", &key.each_ref().map(String::as_str)));
        self.step(at, Rank::Visit, vec![row.id()], visit_id, &visit);
        Ok(date.moment())
    }

    /// Plans the adverse events.
    pub fn adverse_events(&mut self, rows: &[AdverseEventRow]) {
        let mut seen: HashMap<[String; 4], u64> = HashMap::new();
        for row in rows {
            let cell = |text: &Option<Text>| text.as_ref().map_or("", |text| text).to_owned();
            let term = cell(if row.decoded.is_some() { &row.decoded } else { &row.term });
            let key = [self.subject.to_string(), cell(&row.sequence), term, cell(&row.onset)];
            let earlier = *seen.entry(key.clone()).or_insert(row.line);
            if earlier != row.line {
                self.reject(row.id(), format!("repeats line {earlier}"));
                continue;
            }
            let id = AdverseEventId::from(self.frame.id("sdtm-adverse-event", &key.each_ref().map(String::as_str)));
            match self.adverse_event(row) {
                Ok((at, event)) => self.step(at, Rank::AdverseEvent, vec![row.id()], id, &event),
                Err(reason) => self.reject(row.id(), reason),
            }
        }
    }

    /// The event, with the time of its report.
    fn adverse_event(&mut self, row: &AdverseEventRow) -> Result<(DateTime<Utc>, ReportAdverseEvent), String> {
        let term = match (&row.decoded, &row.term) {
            (Some(decoded), _) => tidy(decoded),
            (None, Some(term)) => {
                self.note(row.id(), "AEDECOD is empty: AETERM is taken");
                tidy(term)
            }
            (None, None) => return Err("AEDECOD and AETERM are empty".to_owned()),
        };
        let grade = row.grade.as_ref().and_then(|grade| grade.trim_start_matches("GRADE").trim().parse().ok());
        let grade: Option<u8> = grade.filter(|grade| (1..=5).contains(grade));
        let severity = self.severity(row, grade)?;
        let serious = self.serious(row)?;
        let onset = self.date(row.id(), "AESTDTC", row.onset.as_ref()).ok().flatten();
        let ended = self.date(row.id(), "AEENDTC", row.ended.as_ref()).ok().flatten();
        let collected = self.date(row.id(), "AEDTC", row.collected.as_ref()).ok().flatten();
        if row.onset.is_none() {
            self.note(row.id(), "AESTDTC is empty: the onset is not known");
        }
        // Reported when it was collected; what began before the consent was told after it.
        let told = collected.and_then(|date| date.moment()).max(onset.as_ref().map(|onset| onset.earliest()));
        let at = told.unwrap_or(self.consent.at).max(self.consent.at);
        let event = ReportAdverseEvent {
            subject_id: self.frame.subject(&self.subject),
            term,
            severity,
            ctcae_grade: grade,
            serious,
            relatedness: row.relatedness.as_ref().map(|text| tidy(text)),
            onset: onset.map(|date| date.date),
            ended: ended.map(|date| date.date),
            outcome: row.outcome.as_ref().map(|text| tidy(text)),
            historical: true,
            occurred_at: When::at(at),
        };
        Ok((at, event))
    }

    fn severity(&mut self, row: &AdverseEventRow, grade: Option<u8>) -> Result<AdverseEventSeverity, String> {
        let Some(text) = &row.severity else {
            // CTCAE 5.0: grade 1 mild, 2 moderate, 3 and more severe.
            let severity = match grade.ok_or("AESEV is empty: how severe it was is not told")? {
                1 => AdverseEventSeverity::Mild,
                2 => AdverseEventSeverity::Moderate,
                _ => AdverseEventSeverity::Severe,
            };
            self.note(row.id(), "AESEV is empty: the severity follows from AETOXGR");
            return Ok(severity);
        };
        match text.to_uppercase().as_str() {
            "MILD" => Ok(AdverseEventSeverity::Mild),
            "MODERATE" => Ok(AdverseEventSeverity::Moderate),
            "SEVERE" => Ok(AdverseEventSeverity::Severe),
            _ => Err(format!("AESEV `{text}` is none of MILD, MODERATE, SEVERE")),
        }
    }

    fn serious(&mut self, row: &AdverseEventRow) -> Result<bool, String> {
        let criteria = row.criteria.join(", ");
        match row.serious.as_ref().map(|text| text.to_uppercase()) {
            Some(text) if text == "Y" => Ok(true),
            Some(text) if text == "N" => {
                if !criteria.is_empty() {
                    self.note(row.id(), format!("AESER is N although {criteria} is Y: not serious, as AESER says"));
                }
                Ok(false)
            }
            Some(text) => Err(format!("AESER `{text}` is neither Y nor N")),
            None if !criteria.is_empty() => {
                self.note(row.id(), format!("AESER is empty: serious by {criteria}"));
                Ok(true)
            }
            None => {
                self.note(row.id(), "AESER is empty and no criterion of seriousness is Y: not serious");
                Ok(false)
            }
        }
    }
}

fn parsed(column: &str, text: &Text) -> Result<super::super::dates::SdtmDate, String> {
    super::super::dates::SdtmDate::parse(text).map_err(|error| format!("{column}: {error}"))
}
