//! Many rows in one statement.

/// Rows of one statement, largest first: few statements, and all of them stay prepared.
const ROWS_PER_STATEMENT: [usize; 4] = [64, 16, 4, 1];

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
