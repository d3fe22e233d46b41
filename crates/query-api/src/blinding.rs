//! What blinded roles must not receive: treatment allocation, in any answer.

use events::envelope::Role;
use serde_json::Value;

/// Fields that tell an allocation.
const ALLOCATION: [&str; 2] = ["arm", "by_arm"];

/// Removes allocation from a document unless the role may see it.
///
/// `by_arm` and `arm` are removed wherever they stand; the protocol itself
/// (which arms there are) is no secret, so `code` and `name` of arms stay.
pub fn blind(role: Role, document: &mut Value) {
    if role.sees_allocation() {
        return;
    }
    match document {
        Value::Object(fields) => {
            fields.retain(|name, _| !ALLOCATION.contains(&name.as_str()));
            fields.values_mut().for_each(|value| blind(role, value));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| blind(role, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
