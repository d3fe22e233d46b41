//! Where something stands in JSON values of one type.

use serde_json::Value;

/// In a path: every element of an array, or every value of a map.
pub const EACH: &str = "*";

/// Places in values of one type, each a path of fields and [`EACH`].
pub type Paths = &'static [&'static [&'static str]];

/// Does something to what stands at a path, and tells it the path that was gone: the names of fields and elements.
pub fn at(value: &mut Value, path: &[&str], act: &mut dyn FnMut(&[String], &mut Value)) {
    walk(value, path, &mut Vec::new(), act);
}

fn walk(value: &mut Value, path: &[&str], gone: &mut Vec<String>, act: &mut dyn FnMut(&[String], &mut Value)) {
    let mut step = |name: String, value: &mut Value, rest: &[&str]| {
        gone.push(name);
        walk(value, rest, gone, act);
        gone.pop();
    };
    match (path, value) {
        ([], value) => act(gone, value),
        ([EACH, rest @ ..], Value::Array(elements)) => {
            elements.iter_mut().enumerate().for_each(|(index, element)| step(index.to_string(), element, rest));
        }
        ([EACH, rest @ ..], Value::Object(fields)) => {
            fields.iter_mut().for_each(|(name, field)| step(name.clone(), field, rest));
        }
        ([name, rest @ ..], Value::Object(fields)) => {
            if let Some(field) = fields.get_mut(*name) {
                step((*name).to_owned(), field, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_stands_at_a_path_is_found_with_its_place() {
        let mut value = json!({"name": "a", "list": [{"text": "b"}, {"text": "c"}], "by": {"x": "d"}, "other": "e"});
        let mut found = Vec::new();
        let paths: Paths = &[&["name"], &["list", "*", "text"], &["by", "*"], &["missing", "*"], &["other", "deeper"]];
        for path in paths {
            at(&mut value, path, &mut |gone, text| found.push((gone.join("/"), text.take())));
        }
        let expected = [("name", "a"), ("list/0/text", "b"), ("list/1/text", "c"), ("by/x", "d")];
        assert_eq!(found, expected.map(|(path, text)| (path.to_owned(), json!(text))));
        assert_eq!(value["other"], "e");
    }
}
