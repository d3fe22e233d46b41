//! A row of the catalogue, for every engine.

use super::{ColumnKind, CommitError, Rebuild, ViewBatch, ViewError, ViewSchema, ViewState};

/// The catalogue's columns, in the order of [`CatalogueRow`].
pub const COLUMNS: &str = "name, schema_version, generation, position, columns, \
     rebuild_generation, rebuild_position, rebuild_version, failure";

/// Whether a row of `views` stands where one of `moved` begins: a source of
/// `name`, `generation`, `from_position`, `to_position`.
pub const STANDS: &str = "views.name = moved.name
    AND ((views.generation = moved.generation AND views.position = moved.from_position)
        OR (views.rebuild_generation = moved.generation AND views.rebuild_position = moved.from_position))";

/// Moves generations of views that stand where their batches begin, as listed
/// by `moves`, the source of `moved` in [`STANDS`]. Gives the names of those that did.
pub fn advance(moves: &str) -> String {
    format!(
        "UPDATE views SET
             position = CASE WHEN views.generation = moved.generation
                 THEN moved.to_position ELSE views.position END,
             rebuild_position = CASE WHEN views.rebuild_generation = moved.generation
                 THEN moved.to_position ELSE views.rebuild_position END
         FROM {moves}
         WHERE {STANDS}
         RETURNING views.name"
    )
}

/// Refuses where a batch's view has not moved; `moved` are the names of those that did.
pub fn all_moved(batches: &[ViewBatch], moved: &[String]) -> Result<(), CommitError> {
    let stands = |batch: &&ViewBatch| !moved.contains(&batch.view);
    match batches.iter().find(stands) {
        Some(batch) => Err(CommitError::Moved { view: batch.view.clone() }),
        // Two batches of one view cannot both begin where it stands.
        None if moved.len() < batches.len() => Err(CommitError::Moved { view: batches[0].view.clone() }),
        None => Ok(()),
    }
}

/// Begins a rebuild in place of one that is on its way.
pub const START_REBUILD: &str = "UPDATE views SET
    rebuild_generation = 1 + CASE WHEN rebuild_generation > generation THEN rebuild_generation ELSE generation END,
    rebuild_position = 0, rebuild_version = $2, rebuild_columns = $3
    WHERE name = $1 RETURNING rebuild_generation";

/// Puts a rebuilt generation in place if it has caught up.
pub const SWAP: &str = "UPDATE views SET
    generation = rebuild_generation, position = rebuild_position, schema_version = rebuild_version,
    columns = rebuild_columns, failure = NULL,
    rebuild_generation = NULL, rebuild_position = NULL, rebuild_version = NULL, rebuild_columns = NULL
    WHERE name = $1 AND rebuild_generation = $2 AND rebuild_position >= position";

/// The generation that a view is entered with.
pub const FIRST_GENERATION: i64 = 1;

/// Enters a view, with [`FIRST_GENERATION`].
pub const REGISTER: &str = "INSERT INTO views (name, schema_version, generation, position, columns)
    VALUES ($1, $2, 1, 0, $3) ON CONFLICT (name) DO NOTHING";

/// A row as the database gives it.
pub type CatalogueRow = (String, i64, i64, i64, String, Option<i64>, Option<i64>, Option<i64>, Option<String>);

/// The state that a row tells.
pub fn state(row: CatalogueRow) -> Result<ViewState, ViewError> {
    let (name, version, generation, position, columns, rebuild_generation, rebuild_position, rebuild_version, failure) =
        row;
    let corrupt = || ViewError::Corrupt(format!("the catalogue's row of `{name}`"));
    let number = |value: i64| u64::try_from(value).map_err(|_| corrupt());
    let version_number = |value: i64| u32::try_from(value).map_err(|_| corrupt());
    let rebuild = match (rebuild_generation, rebuild_position, rebuild_version) {
        (Some(generation), Some(position), Some(version)) => {
            Some(Rebuild { generation, position: number(position)?, version: version_number(version)? })
        }
        _ => None,
    };
    let columns: Vec<(String, ColumnKind)> = serde_json::from_str(&columns).map_err(|_| corrupt())?;
    Ok(ViewState {
        version: version_number(version)?,
        position: number(position)?,
        name: name.clone(),
        generation,
        columns,
        rebuild,
        failure,
    })
}

/// A schema's columns as the catalogue keeps them.
pub fn columns_text(schema: &ViewSchema) -> String {
    let columns: Vec<(&str, ColumnKind)> = schema.columns.iter().map(|column| (column.name, column.kind)).collect();
    serde_json::to_string(&columns).expect("columns serialise to JSON by construction")
}

/// The table of a view. A view's name is a registered one, never a client's text.
pub fn table(view: &str) -> Result<String, ViewError> {
    let plain = !view.is_empty() && view.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if plain { Ok(format!("view_{view}")) } else { Err(ViewError::Unknown(view.to_owned())) }
}
