//! Treatment allocation in values: where it stands, and how it is removed.

use events::guarded::Guarded;
use events::paths::{EACH, Paths, at};
use serde_json::Value;

/// The places of treatment allocation in the values of one type, each a path of fields and [`EACH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation(pub Paths);

impl Allocation {
    /// Of values of which nothing is known: all of them may be treatment allocation.
    pub const EVERYTHING: Allocation = Allocation(Guarded::EVERYTHING.allocation);

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Removes treatment allocation from a value: fields go, anything else becomes null.
    pub fn strip(self, value: &mut Value) {
        for path in self.0 {
            strip(value, path);
        }
    }
}

fn strip(value: &mut Value, path: &[&str]) {
    let Some((last, above)) = path.split_last() else {
        *value = Value::Null;
        return;
    };
    at(value, above, &mut |_, holder| match (*last, holder) {
        (EACH, Value::Array(elements)) => elements.iter_mut().for_each(|element| *element = Value::Null),
        (EACH, Value::Object(fields)) => fields.values_mut().for_each(|field| *field = Value::Null),
        (name, Value::Object(fields)) => _ = fields.remove(name),
        _ => {}
    });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Allocation;

    #[test]
    fn what_is_declared_goes_and_nothing_else() {
        let inner = json!({"arm": "A", "code": "c"});
        let mut value = json!({"arm": null, "list": [inner], "maybe": inner, "by_name": {"n": inner}, "codes": ["A"]});
        let declared: &[&[&str]] =
            &[&["arm"], &["list", "*", "arm"], &["maybe", "arm"], &["by_name", "*", "arm"], &["codes", "*"]];
        Allocation(declared).strip(&mut value);
        let left = json!({"code": "c"});
        assert_eq!(value, json!({"list": [left], "maybe": left, "by_name": {"n": left}, "codes": [null]}));
    }

    #[test]
    fn where_nothing_is_known_everything_goes() {
        let mut value = json!({"arm": "A"});
        Allocation::EVERYTHING.strip(&mut value);
        assert_eq!(value, Value::Null);
    }
}
