//! Many rows in one statement.

/// Rows of one statement at most.
pub const ROWS_MAX: usize = 64;
/// Rows of one statement, largest first: few statements, and all of them stay prepared.
const ROWS_PER_STATEMENT: [usize; 4] = [ROWS_MAX, 16, 4, 1];
/// Rows of a statement that may be filled up with rows that are not stored.
const ROWS_PADDED: [usize; 9] = [0, 1, 2, 4, 8, 16, 32, 48, ROWS_MAX];

/// The rows of the smallest prepared statement that takes so many. Every other number would be a statement of
/// its own, prepared anew and kept.
pub fn padded(rows: usize) -> usize {
    ROWS_PADDED.into_iter().find(|size| *size >= rows).unwrap_or(rows)
}

/// Cuts rows into pieces of the sizes for which statements are prepared.
pub fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = ROWS_PER_STATEMENT.into_iter().find(|size| *size <= rows.len())?;
        let (chunk, rest) = rows.split_at(size);
        rows = rest;
        Some(chunk)
    })
}

/// `(?, ?), (?, ?)` for two rows of two columns.
pub fn values(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}
