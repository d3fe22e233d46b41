//! The rules by which commands are refused. Each is named where its reason stands; the names are the last part of a
//! problem document's `type`, and constants of the reasons (`SiteError::NOT_ACTIVE`), so that process managers and
//! importers that react to one cannot miss it.

use crate::{access, commands, enrolment, validate};

/// The rules of one module.
#[derive(Debug)]
pub struct Rules {
    /// The module.
    pub module: &'static str,
    /// The names of its rules.
    pub names: &'static [&'static str],
}

/// Declares why the commands of a module are refused: each reason with its constant, the name of its rule, what people
/// read, and the body's field at fault where it is one.
///
/// What `_` stands before is a rule without a reason of its own, for [`NotFound`](crate::validate::NotFound).
/// `names of` only makes the constants.
macro_rules! rules {
    (
        $(#[$doc:meta])*
        pub enum $reasons:ident { $(
            $variant:ident $(($($part:ident: $kind:ty),+))? => $name:ident = $text:literal: $message:literal $(, field $field:expr)?;
        )* $(_ => $other:ident = $other_text:literal;)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, thiserror::Error)]
        pub enum $reasons { $(
            #[doc = $message]
            #[error($message)]
            $variant $(($($kind),+))?,
        )* }

        rules! { names of $reasons: $($name = $text;)* $($other = $other_text;)* }

        impl ::decider::Reason for $reasons {
            fn rule(&self) -> &'static str {
                match self { $(Self::$variant { .. } => Self::$name),* }
            }

            fn field(&self) -> Option<String> {
                match self { $(Self::$variant $(($($part),+))? => rules!(@field [$($($part)+)?] $($field)?),)* }
            }
        }
    };
    (names of $reasons:ident: $($name:ident = $text:literal;)+) => {
        impl $reasons { $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: &'static str = $text;
        )+ }

        /// The rules that are named here.
        pub const RULES: $crate::rules::Rules =
            $crate::rules::Rules { module: module_path!(), names: &[$($reasons::$name),+] };
    };
    // Most reasons name a field that does not follow from what they hold.
    (@field [$($part:ident)*]) => {{ $(let _ = $part;)* None }};
    (@field [$($part:ident)*] $field:expr) => {{ $(let _ = $part;)* Some(String::from($field)) }};
}

/// The rules of every module: of those with commands and of what their decisions use. A module may come several times.
pub fn all() -> impl Iterator<Item = &'static Rules> {
    commands::RULES.iter().chain(&[access::RULES, enrolment::ledger::RULES, validate::RULES])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::all;

    #[test]
    fn no_two_reasons_name_the_same_rule() {
        let modules: BTreeMap<&str, &[&str]> = all().map(|rules| (rules.module, rules.names)).collect();
        assert!(modules.len() > 10, "{modules:?}");
        let mut owners = BTreeMap::new();
        for (module, names) in modules {
            for name in names {
                let earlier = owners.insert(name, module);
                assert!(earlier.is_none(), "`{name}` is a rule of {module} and of {}", earlier.unwrap_or_default());
                let kebab = |letter: u8| letter.is_ascii_lowercase() || letter == b'-';
                assert!(name.bytes().all(kebab), "`{name}` of {module} is not in kebab-case");
            }
        }
    }
}
