//! Which parts of a document or payload are treatment allocation, as its schema declares.

use serde_json::Value;

/// The keyword by which a schema declares that a value is treatment allocation.
pub const ALLOCATION: &str = "x-allocation";

/// The places of treatment allocation in values of one schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation(Vec<Vec<Step>>);

/// One step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The field of this name.
    Field(String),
    /// Every element of an array, or every value of a map.
    Each,
}

impl Allocation {
    /// Finds what a JSON Schema declares; references are looked up in the schema itself.
    pub fn of_schema(schema: &Value) -> Self {
        let mut allocation = Self::default();
        allocation.find(schema, schema, &mut Vec::new(), &mut Vec::new());
        allocation
    }

    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes treatment allocation from a value: fields go, anything else becomes null.
    pub fn strip(&self, value: &mut Value) {
        for path in &self.0 {
            strip(value, path);
        }
    }

    fn find<'s>(&mut self, root: &'s Value, schema: &'s Value, path: &mut Vec<Step>, within: &mut Vec<&'s str>) {
        if schema[ALLOCATION] == true {
            self.0.push(path.clone());
            return;
        }
        if let Some(reference) = schema["$ref"].as_str()
            && !within.contains(&reference)
            && let Some(target) = root.pointer(reference.trim_start_matches('#'))
        {
            within.push(reference);
            self.find(root, target, path, within);
            within.pop();
        }
        for name in ["allOf", "anyOf", "oneOf", "prefixItems"] {
            for alternative in schema[name].as_array().into_iter().flatten() {
                self.find(root, alternative, path, within);
            }
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            path.push(Step::Field(name.clone()));
            self.find(root, property, path, within);
            path.pop();
        }
        for each in ["items", "additionalProperties"].iter().filter_map(|name| schema.get(name)) {
            path.push(Step::Each);
            self.find(root, each, path, within);
            path.pop();
        }
    }
}

fn strip(value: &mut Value, path: &[Step]) {
    match (path, value) {
        ([], value) => *value = Value::Null,
        ([Step::Field(name)], Value::Object(fields)) => _ = fields.remove(name),
        ([Step::Field(name), rest @ ..], Value::Object(fields)) => {
            if let Some(field) = fields.get_mut(name) {
                strip(field, rest);
            }
        }
        ([Step::Each, rest @ ..], Value::Array(elements)) => {
            elements.iter_mut().for_each(|element| strip(element, rest));
        }
        ([Step::Each, rest @ ..], Value::Object(fields)) => fields.values_mut().for_each(|field| strip(field, rest)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use schemars::{JsonSchema, schema_for};
    use serde::Serialize;
    use serde_json::json;

    use super::Allocation;
    use crate::values::Blinded;

    #[derive(Serialize, JsonSchema)]
    struct Inner {
        arm: Blinded<String>,
        code: String,
    }

    #[derive(Serialize, JsonSchema)]
    struct Outer {
        arm: Blinded<Option<String>>,
        by_arm: Blinded<Vec<Inner>>,
        list: Vec<Inner>,
        maybe: Option<Inner>,
        children: Vec<Outer>,
    }

    #[test]
    fn what_is_declared_goes_and_nothing_else() {
        let allocation = Allocation::of_schema(schema_for!(Outer).as_value());
        let inner = json!({"arm": "A", "code": "c"});
        let child = json!({"arm": "A", "by_arm": [], "list": [], "maybe": null, "children": []});
        let mut value =
            json!({"arm": null, "by_arm": [inner], "list": [inner], "maybe": inner, "children": [child], "other": 1});
        allocation.strip(&mut value);
        let left = json!({"code": "c"});
        // A schema that contains itself is followed once.
        assert_eq!(value["list"], json!([left]));
        assert_eq!(value["maybe"], left);
        assert_eq!(value["children"][0].get("arm"), None);
        assert_eq!((value.get("arm"), value.get("by_arm"), &value["other"]), (None, None, &json!(1)));
    }
}
