//! A row of the catalogue, for every engine.

use uuid::Uuid;

use super::{ColumnKind, CommitError, Rebuild, ViewBatch, ViewError, ViewSchema, ViewState};
use crate::checkpoints::Checkpoint;

/// The catalogue's columns, in the order of [`CatalogueRow`].
pub const COLUMNS: &str = "name, schema_version, generation, position, event_id, columns, \
     rebuild_generation, rebuild_position, rebuild_event_id, rebuild_version, failure";

/// Whether a row of `views` stands where one of `moved` begins: a source of
/// `name`, `generation`, `from_position`, `from_event_id`, `to_position`, `to_event_id`.
pub const STANDS: &str = "views.name = moved.name
    AND ((views.generation = moved.generation
            AND views.position = moved.from_position AND views.event_id = moved.from_event_id)
        OR (views.rebuild_generation = moved.generation
            AND views.rebuild_position = moved.from_position AND views.rebuild_event_id = moved.from_event_id))";

/// Moves generations of views that stand where their batches begin, as listed
/// by `moves`, the source of `moved` in [`STANDS`]. Gives the names of those that did.
pub fn advance(moves: &str) -> String {
    format!(
        "UPDATE views SET
             position = CASE WHEN views.generation = moved.generation
                 THEN moved.to_position ELSE views.position END,
             event_id = CASE WHEN views.generation = moved.generation
                 THEN moved.to_event_id ELSE views.event_id END,
             rebuild_position = CASE WHEN views.rebuild_generation = moved.generation
                 THEN moved.to_position ELSE views.rebuild_position END,
             rebuild_event_id = CASE WHEN views.rebuild_generation = moved.generation
                 THEN moved.to_event_id ELSE views.rebuild_event_id END
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

/// Begins a rebuild in place of one that is on its way; `$4` is the nil id.
pub const START_REBUILD: &str = "UPDATE views SET
    rebuild_generation = 1 + CASE WHEN rebuild_generation > generation THEN rebuild_generation ELSE generation END,
    rebuild_position = 0, rebuild_event_id = $4, rebuild_version = $2, rebuild_columns = $3
    WHERE name = $1 RETURNING rebuild_generation";

/// Puts a rebuilt generation in place if it has caught up.
pub const SWAP: &str = "UPDATE views SET
    generation = rebuild_generation, position = rebuild_position, event_id = rebuild_event_id,
    schema_version = rebuild_version,
    columns = rebuild_columns, failure = NULL,
    rebuild_generation = NULL, rebuild_position = NULL, rebuild_event_id = NULL, rebuild_version = NULL,
    rebuild_columns = NULL
    WHERE name = $1 AND rebuild_generation = $2 AND rebuild_position >= position";

/// The generation that a view is entered with.
pub const FIRST_GENERATION: i64 = 1;

/// Enters a view, with [`FIRST_GENERATION`]; `$4` is the nil id.
pub const REGISTER: &str = "INSERT INTO views (name, schema_version, generation, position, event_id, columns)
    VALUES ($1, $2, 1, 0, $4, $3) ON CONFLICT (name) DO NOTHING";

/// Enters the log that everything is derived from, if none is entered.
pub const ENTER_ORIGIN: &str = "INSERT INTO origin (only_row, log_id) VALUES (TRUE, $1) ON CONFLICT DO NOTHING";
/// The log that everything is derived from.
pub const ORIGIN: &str = "SELECT log_id FROM origin";

/// A row as the database gives it.
pub type CatalogueRow =
    (String, i64, i64, i64, Uuid, String, Option<i64>, Option<i64>, Option<Uuid>, Option<i64>, Option<String>);

/// The state that a row tells.
pub fn state(row: CatalogueRow) -> Result<ViewState, ViewError> {
    let (name, version, generation, position, event_id, columns, ..) = &row;
    let (.., rebuild_generation, rebuild_position, rebuild_event_id, rebuild_version, failure) = &row;
    let corrupt = || ViewError::Corrupt(format!("the catalogue's row of `{name}`"));
    let version_number = |value: i64| u32::try_from(value).map_err(|_| corrupt());
    let rebuild = match (rebuild_generation, rebuild_position, rebuild_event_id, rebuild_version) {
        (Some(generation), Some(position), Some(event_id), Some(version)) => Some(Rebuild {
            generation: *generation,
            checkpoint: checkpoint(*position, *event_id)?,
            version: version_number(*version)?,
        }),
        _ => None,
    };
    let columns: Vec<(String, ColumnKind)> = serde_json::from_str(columns).map_err(|_| corrupt())?;
    Ok(ViewState {
        version: version_number(*version)?,
        checkpoint: checkpoint(*position, *event_id)?,
        name: name.clone(),
        generation: *generation,
        columns,
        rebuild,
        failure: failure.clone(),
    })
}

/// A checkpoint as the catalogue keeps it.
pub fn checkpoint(position: i64, event_id: Uuid) -> Result<Checkpoint, ViewError> {
    let position = u64::try_from(position).map_err(|_| ViewError::Corrupt("a negative position".to_owned()))?;
    Ok(Checkpoint { position, event_id })
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
