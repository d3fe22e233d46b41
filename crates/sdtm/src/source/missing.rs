//! Words that stand for a missing value, decided here for every column of every dataset.
//!
//! SDTM leaves what is missing empty. Programs write words in its place: R `NA`, pandas `nan`, `NaT` or `None`,
//! databases `NULL`, SAS a dot. What a column holds decides which of them can be a value: `NONE` is a causality (AEREL)
//! and an answer, yet no date; `UNK` may be an outcome, yet no site.

/// What a column holds, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// A date.
    Date,
    /// A number.
    Number,
    /// What names something (subject, site, visit, arm, item), a flag, or a term of a closed codelist.
    Name,
    /// Words: a term, an answer, a description.
    Words,
}

/// Missing in any column, in any case.
const ANYWHERE: [&str; 12] = ["NA", "N/A", "#N/A", "<NA>", "NULL", "<NULL>", "(NULL)", "NAN", "NAT", "-", "--", "\\N"];
/// Missing wherever words are no value.
const NOT_IN_WORDS: [&str; 9] = ["NONE", "NIL", "UNK", "UNKNOWN", "MISSING", "NK", "N.A.", "?", "NOT AVAILABLE"];
/// Parts of dates that are not known (CDASH).
const NOT_IN_DATES: [&str; 4] = ["UN", "UNKN", "UN-UNK-UNKN", "UNK-UNK"];

/// Names of columns, without the domain's two letters where they begin with these.
const NUMBERS: [&str; 9] = ["SEQ", "STRESN", "VISITNUM", "VISITDY", "AGE", "DY", "STDY", "ENDY", "TPTNUM"];
const NAMES: [&str; 32] = [
    "STUDYID", "DOMAIN", "USUBJID", "SUBJID", "SITEID", "SPID", "TESTCD", "PARMCD", "CAT", "VISIT", "ARMCD", "ARM",
    "ACTARMCD", "ACTARM", "SEX", "AGEU", "COUNTRY", "SEV", "SER", "TOXGR", "STAT", "STRESU", "ORRESU", "DTHFL",
    "DRVFL", "OCCUR", "TIVERS", "TPT", "SCONG", "SDISAB", "SDTH", "SHOSP",
];
const FLAGS: [&str; 3] = ["SLIFE", "SMIE", "ARMNRS"];

fn holds(column: &str) -> Holds {
    let stem = column.get(2..).unwrap_or_default();
    let is = |names: &[&str]| names.iter().any(|name| *name == column || *name == stem);
    match () {
        () if column.ends_with("DTC") => Holds::Date,
        () if is(&NUMBERS) => Holds::Number,
        () if is(&NAMES) || is(&FLAGS) => Holds::Name,
        () => Holds::Words,
    }
}

/// Whether a column holds numbers only.
pub fn is_numeric(column: &str) -> bool {
    holds(column) == Holds::Number
}

/// Whether a cell, without the blanks around it, says that there is no value. `column` is in upper case.
pub fn is_missing(column: &str, cell: &str) -> bool {
    if cell.is_empty() || is_sas_missing(cell) {
        return true;
    }
    // Longer than any of the words.
    if cell.len() > 13 {
        return false;
    }
    let one_of = |words: &[&str]| words.iter().any(|word| cell.eq_ignore_ascii_case(word));
    let holds = holds(column);
    // Why somebody has no arm is told in words, of which `NONE` is one for nothing.
    one_of(&ANYWHERE)
        || (holds != Holds::Words && one_of(&NOT_IN_WORDS))
        || (holds == Holds::Date && one_of(&NOT_IN_DATES))
}

/// `.`, or one of the special missing values `.A` to `.Z` and `._`.
fn is_sas_missing(cell: &str) -> bool {
    match cell.as_bytes() {
        [b'.'] => true,
        [b'.', letter] => letter.is_ascii_alphabetic() || *letter == b'_',
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_missing_where_it_cannot_be_a_value() {
        let everywhere = ["", ".", ".B", "._", "NA", "na", "n/a", "NULL", "nan", "NaT", "-", "<NA>"];
        for column in ["DTHDTC", "SITEID", "ARMCD", "AESEQ", "AEOUT", "AETERM", "QSSTRESC", "VISIT", "RACE"] {
            for word in everywhere {
                assert!(is_missing(column, word), "{column} {word}");
            }
            assert!(!is_missing(column, "NAUSEA") && !is_missing(column, "1"), "{column}");
        }
        for word in ["None", "UNK", "Unknown"] {
            for column in
                ["DTHDTC", "AESTDTC", "SITEID", "ARMCD", "ARM", "VISIT", "USUBJID", "VISITNUM", "SEX", "AESEV"]
            {
                assert!(is_missing(column, word), "{column} {word}");
            }
            for column in ["AEREL", "AEOUT", "AETERM", "AEDECOD", "QSORRES", "QSSTRESC", "DSTERM", "RACE"] {
                assert!(!is_missing(column, word), "{column} {word}");
            }
        }
        assert!(is_missing("AESTDTC", "UN") && !is_missing("QSORRES", "UN"));
        assert!(!is_missing("SEX", "U") && !is_missing("AESER", "N"));
    }
}
