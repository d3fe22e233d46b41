//! Whether values fit the columns that they are compared with, and in which ways a row can fit.

use super::query::{Filter, FilterOp, QueryError, STRETCHES_MAX};
use super::{ColumnKind, ColumnValue};

/// A column, how it is compared, and with what.
pub type Condition<'query> = (&'query str, FilterOp, &'query ColumnValue);

/// Every way in which a row can fit all filters: of each filter one of its values.
pub fn combinations<'query>(
    columns: &[(String, ColumnKind)],
    filters: &'query [Filter],
) -> Result<Vec<Vec<Condition<'query>>>, QueryError> {
    let mut combinations = vec![Vec::new()];
    for Filter { column, op, values } in filters {
        let kind = kind_of(columns, column)?;
        let mut distinct: Vec<&ColumnValue> = Vec::new();
        for value in values {
            if !is_of(value, kind) {
                return Err(QueryError::WrongKind { column: column.clone(), kind });
            }
            if !distinct.contains(&value) {
                distinct.push(value);
            }
        }
        if distinct.is_empty() || combinations.len() * distinct.len() > STRETCHES_MAX {
            return Err(QueryError::Values);
        }
        let with_each = |before: &Vec<Condition<'query>>| -> Vec<Vec<Condition<'query>>> {
            let with = |value| [before.as_slice(), &[(column.as_str(), *op, value)]].concat();
            distinct.iter().map(|value| with(*value)).collect()
        };
        combinations = combinations.iter().flat_map(with_each).collect();
    }
    Ok(combinations)
}

/// Whether a column of this kind can hold the value.
pub fn is_of(value: &ColumnValue, kind: ColumnKind) -> bool {
    match (value, kind) {
        (ColumnValue::Text(text), ColumnKind::Text | ColumnKind::Identifier | ColumnKind::Words) => is_storable(text),
        (ColumnValue::Null, _)
        | (ColumnValue::Uuid(_), ColumnKind::Uuid)
        | (ColumnValue::Integer(_), ColumnKind::Integer)
        | (ColumnValue::Time(_), ColumnKind::Time)
        | (ColumnValue::Boolean(_), ColumnKind::Boolean) => true,
        _ => false,
    }
}

/// PostgreSQL knows no text with a zero byte.
pub fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// What a column holds.
pub fn kind_of(columns: &[(String, ColumnKind)], name: &str) -> Result<ColumnKind, QueryError> {
    let found = columns.iter().find(|(column, _)| column == name);
    found.map(|(_, kind)| *kind).ok_or_else(|| QueryError::UnknownColumn(name.to_owned()))
}
