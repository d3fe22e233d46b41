//! Visits and adverse events.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::When;
use domain::safety::adverse_event::ReportAdverseEvent;
use domain::visit::RecordVisit;
use events::ids::{AdverseEventId, VisitId};
use events::safety::adverse_event::AdverseEventSeverity;

use super::super::accounts::RowId;
use super::super::numbers::{self, SdtmNumber};
use super::super::rows::{AdverseEventRow, SubjectVisit, Text};
use super::super::study::tidy;
use super::Step;
use super::subject::{Planner, Rank};

/// What tells a subject's adverse events apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbering {
    /// The sponsor's own numbers (AESPID), of which each stands there once.
    Sponsor,
    /// The sequence numbers (AESEQ).
    Sequence,
}

impl Numbering {
    fn of(rows: &[AdverseEventRow]) -> Self {
        let numbers: HashSet<&Text> = rows.iter().filter_map(|row| row.sponsor_id.as_ref()).collect();
        if numbers.len() == rows.len() { Self::Sponsor } else { Self::Sequence }
    }
}

/// When the subject came to the visits, by `VISITNUM` or else `VISIT`.
pub type VisitDays = BTreeMap<Text, DateTime<Utc>>;

impl Planner<'_> {
    /// Plans the visits; gives their days for forms that have none of their own.
    pub fn visits(&mut self, rows: &[SubjectVisit]) -> VisitDays {
        let mut seen: HashMap<[Option<&Text>; 3], RowId> = HashMap::new();
        let mut of_day: HashMap<(&Text, Option<&Text>), RowId> = HashMap::new();
        let mut days = VisitDays::new();
        for row in rows {
            let earlier = *seen.entry([row.number.as_ref(), row.name.as_ref(), row.start.as_ref()]).or_insert(row.at);
            if earlier != row.at {
                self.leave_out(row.at, format!("repeats {earlier}"));
                continue;
            }
            let same = row.number.as_ref().map(|number| (number, row.start.as_ref()));
            if let Some(other) = same.and_then(|same| of_day.insert(same, row.at)) {
                self.reject(row.at, format!("the visit of this number and day stands at {other}, under another name"));
                continue;
            }
            if row.missed {
                self.leave_out(row.at, "the visit did not take place (SVOCCUR is N)");
                continue;
            }
            match self.visit(row) {
                Ok(day) => {
                    if let (Some(key), Some(day)) = (row.number.as_ref().or(row.name.as_ref()), day) {
                        days.entry(key.clone()).or_insert(day);
                    }
                }
                Err(reason) => self.reject(row.at, reason),
            }
        }
        days
    }

    fn visit(&mut self, row: &SubjectVisit) -> Result<Option<DateTime<Utc>>, String> {
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
                self.note(row.at, "SVSTDTC is empty: SVENDTC is taken");
                parsed("SVENDTC", end)?
            }
            (None, None) => return Err("SVSTDTC is empty: the visit has no date".to_owned()),
        };
        if date.day().is_none() || date.shortened {
            self.note(row.at, format!("the visit's date is kept as `{}`", date.date));
        }
        let number = row.number.as_ref().and_then(|number| SdtmNumber::parse(number)).map(SdtmNumber::quantity);
        if let (Some(text), None) = (&row.number, number) {
            self.note(row.at, format!("VISITNUM `{text}` is no number: not kept"));
        }
        // Of a partial date the first day that it can mean may lie before the consent, the visit itself does not.
        let at = match date.moment() {
            Some(at) => self.covered(row.at, "came to the visit", at),
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
        // What is called otherwise later is the same visit.
        let name = if row.number.is_some() { String::new() } else { cell(&row.name) };
        let key = [self.subject.to_string(), cell(&row.number), name, cell(&row.start)];
        let visit_id = VisitId::from(self.frame.id("sdtm-visit", &key.each_ref().map(String::as_str)));
        let untold = if row.name.is_none() { vec!["visit"] } else { Vec::new() };
        self.place(at, Rank::Visit, Step { untold, ..Step::new(vec![row.at], visit_id, &visit) });
        Ok(date.moment())
    }

    /// Plans the adverse events.
    pub fn adverse_events(&mut self, rows: &[AdverseEventRow]) {
        let numbering = Numbering::of(rows);
        let mut seen: HashMap<AdverseEventId, (RowId, ReportAdverseEvent)> = HashMap::new();
        for row in rows {
            let id = self.adverse_event_id(row, numbering);
            let (at, event) = match self.adverse_event(row) {
                Ok(event) => event,
                Err(reason) => {
                    self.reject(row.at, reason);
                    continue;
                }
            };
            match seen.get(&id) {
                Some((earlier, same)) if *same == event => {
                    let text = format!("repeats {earlier}");
                    self.leave_out(row.at, text);
                }
                Some((earlier, _)) => {
                    let text = format!("has the number of {earlier}, and says something else");
                    self.reject(row.at, text);
                }
                None => {
                    let step = Step { untold: untold(row), ..Step::new(vec![row.at], id, &event) };
                    self.place(at, Rank::AdverseEvent, step);
                    seen.insert(id, (row.at, event));
                }
            }
        }
    }

    /// By what names it in every transfer, never by what may be recoded.
    fn adverse_event_id(&self, row: &AdverseEventRow, numbering: Numbering) -> AdverseEventId {
        let cell = |text: &Option<Text>| text.as_ref().map_or("", |text| text).to_owned();
        let key = match (numbering, &row.sequence) {
            (Numbering::Sponsor, _) => ["AESPID".to_owned(), cell(&row.sponsor_id), String::new()],
            (Numbering::Sequence, Some(number)) => ["AESEQ".to_owned(), number.to_string(), String::new()],
            (Numbering::Sequence, None) => {
                let words = if row.term.is_some() { &row.term } else { &row.decoded };
                ["AETERM".to_owned(), cell(words), cell(&row.onset)]
            }
        };
        let [kind, number, onset] = key.each_ref().map(String::as_str);
        self.frame.id("sdtm-adverse-event", &[&self.subject, kind, number, onset]).into()
    }

    /// The event, with the time of its report.
    fn adverse_event(&mut self, row: &AdverseEventRow) -> Result<(DateTime<Utc>, ReportAdverseEvent), String> {
        let reported_term = row.decoded.as_ref().and(row.term.as_ref()).map(|words| tidy(words));
        let term = match (&row.decoded, &row.term) {
            (Some(decoded), _) => tidy(decoded),
            (None, Some(term)) => {
                self.note(row.at, "AEDECOD is empty: AETERM is taken");
                tidy(term)
            }
            (None, None) => return Err("AEDECOD and AETERM are empty".to_owned()),
        };
        let grade = row.grade.as_ref().map(|grade| grade.to_uppercase());
        let grade = grade.and_then(|grade| numbers::shown(grade.trim_start_matches("GRADE").trim()).parse().ok());
        let grade: Option<u8> = grade.filter(|grade| (1..=5).contains(grade));
        let severity = self.severity(row, grade)?;
        let serious = self.serious(row)?;
        let onset = self.date(row.at, "AESTDTC", row.onset.as_ref()).ok().flatten();
        let ended = self.date(row.at, "AEENDTC", row.ended.as_ref()).ok().flatten();
        let collected = self.date(row.at, "AEDTC", row.collected.as_ref()).ok().flatten();
        if row.onset.is_none() {
            self.note(row.at, "AESTDTC is empty: the onset is not known");
        }
        // Reported when it was collected; what began before the consent was told after it.
        let told = collected.and_then(|date| date.moment()).max(onset.as_ref().map(|onset| onset.earliest()));
        let at = told.unwrap_or(self.consent.at).max(self.consent.at);
        let event = ReportAdverseEvent {
            subject_id: self.frame.subject(&self.subject),
            term,
            reported_term,
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
            self.note(row.at, "AESEV is empty: the severity follows from AETOXGR");
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
                    self.note(row.at, format!("AESER is N although {criteria} is Y: not serious, as AESER says"));
                }
                Ok(false)
            }
            Some(text) => Err(format!("AESER `{text}` is neither Y nor N")),
            None if !criteria.is_empty() => {
                self.note(row.at, format!("AESER is empty: serious by {criteria}"));
                Ok(true)
            }
            None => {
                self.note(row.at, "AESER is empty and no criterion of seriousness is Y: not serious");
                Ok(false)
            }
        }
    }
}

/// Fields of an adverse event that have a value although the row does not tell it.
fn untold(row: &AdverseEventRow) -> Vec<&'static str> {
    let fields = [
        ("serious", row.serious.is_none() && row.criteria.is_empty()),
        ("term", row.decoded.is_none()),
        ("severity", row.severity.is_none()),
    ];
    fields.into_iter().filter(|(_, is_untold)| *is_untold).map(|(field, _)| field).collect()
}

fn parsed(column: &str, text: &Text) -> Result<super::super::dates::SdtmDate, String> {
    super::super::dates::SdtmDate::parse(text).map_err(|error| format!("{column}: {error}"))
}
