//! Vital signs as observations of the person.

use domain::When;
use domain::patient::RecordObservation;
use domain::validate;
use events::trial::ObservationValue;

use super::super::dates::SdtmDate;
use super::super::numbers::SdtmNumber;
use super::super::rows::MeasurementRow;
use super::super::study::tidy;
use super::subject::{Planner, Rank};

/// Units of CDISC's codelist VSRESU (C66770) by their UCUM codes, where these differ.
const UCUM: [(&str, &str); 15] = [
    ("mmHg", "mm[Hg]"),
    ("beats/min", "/min"),
    ("bpm", "/min"),
    ("BEATS/MINUTE", "/min"),
    ("breaths/min", "/min"),
    ("BREATHS/MINUTE", "/min"),
    ("C", "Cel"),
    ("F", "[degF]"),
    ("LB", "[lb_av]"),
    ("in", "[in_i]"),
    ("IN", "[in_i]"),
    ("KG", "kg"),
    ("CM", "cm"),
    ("kg/m^2", "kg/m2"),
    ("kg/m**2", "kg/m2"),
];

impl Planner<'_> {
    /// Plans the measurements.
    pub fn measurements(&mut self, rows: &[MeasurementRow]) {
        let mut seen: Vec<RecordObservation> = Vec::new();
        for row in rows {
            match self.measurement(row) {
                Ok(observation) => {
                    if seen.contains(&observation) {
                        self.leave_out(row.at, "the same value of the same test and time stands there already");
                        continue;
                    }
                    seen.push(observation.clone());
                    let patient_id = self.frame.patient(&self.subject);
                    let at = observation.observed_at.instant().unwrap_or(self.consent.at);
                    self.step(at, Rank::Visit, vec![row.at], patient_id, &observation);
                }
                Err(None) => self.leave_out(row.at, "NOT DONE, or without a result"),
                Err(Some(reason)) => self.reject(row.at, reason),
            }
        }
    }

    /// The observation; nothing where nothing was observed.
    fn measurement(&mut self, row: &MeasurementRow) -> Result<RecordObservation, Option<String>> {
        let number = row.number.as_ref().or(row.text.as_ref()).and_then(|text| SdtmNumber::parse(text));
        let value = match (number, &row.text) {
            _ if row.not_done => return Err(None),
            (Some(number), _) => ObservationValue::Number(number.quantity()),
            (None, Some(text)) => ObservationValue::Code(tidy(text)),
            (None, None) => return Err(None),
        };
        let code = row.code.as_ref().ok_or_else(|| "VSTESTCD is empty: nothing is named".to_owned())?;
        validate::code("VSTESTCD", code).map_err(|error| error.to_string())?;
        let told = row.date.as_ref().ok_or_else(|| "VSDTC is empty: the measurement has no date".to_owned())?;
        let date = SdtmDate::parse(told).map_err(|error| format!("VSDTC: {error}"))?;
        let at = date.moment().ok_or_else(|| format!("VSDTC `{told}` tells no day"))?;
        // A code has no unit.
        let unit = row.unit.as_ref().filter(|_| matches!(value, ObservationValue::Number(_)));
        let unit = unit.map(|unit| {
            let known = UCUM.iter().find(|(cdisc, _)| **cdisc == **unit);
            known.map_or_else(|| unit.to_string(), |(_, ucum)| (*ucum).to_owned())
        });
        Ok(RecordObservation { code: code.to_string(), value, unit, observed_at: When::at(at) })
    }
}
