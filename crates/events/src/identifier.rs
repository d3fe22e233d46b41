//! When two identifiers that people type are the same one.
//!
//! Subject numbers, codes and versions are read off paper, dictated and pasted. What looks the same is the same; what
//! was typed first is what is shown.

use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

/// What an identifier is compared by: two that look the same have the same.
///
/// Neither upper and lower case, nor the Unicode form (NFKC, UAX #15), nor the number of blanks, nor characters that
/// nobody sees count. A letter of another script that looks like an ASCII one counts as it (UTS #39, confusables).
pub fn key(identifier: &str) -> String {
    if identifier.is_ascii() {
        return words(&identifier.to_ascii_lowercase());
    }
    let compatible: String = identifier.nfkc().filter(|character| !is_ignorable(*character)).collect();
    // By way of the upper case: some letters have two lower ones, and more capitals look like ASCII ones.
    let latin: String = compatible.to_uppercase().nfkc().map(look_alike).collect();
    words(&latin.to_lowercase()).nfkc().collect()
}

/// Whether two identifiers are the same one.
pub fn same(one: &str, other: &str) -> bool {
    // Nearly always they are written alike, or with nothing in common.
    one == other || key(one) == key(other)
}

/// Whether two language tags name the same language: upper and lower case do not matter (RFC 5646, 2.1.1), and a
/// language that was renamed is the same (the IANA Language Subtag Registry's preferred values).
pub fn same_language(one: &str, other: &str) -> bool {
    fn canonical(tag: &str) -> String {
        const RENAMED: [(&str, &str); 5] = [("in", "id"), ("iw", "he"), ("ji", "yi"), ("jw", "jv"), ("mo", "ro")];
        let tag = tag.to_ascii_lowercase();
        let (first, rest) = tag.split_at(tag.find('-').unwrap_or(tag.len()));
        match RENAMED.iter().find(|(old, _)| *old == first) {
            Some((_, new)) => format!("{new}{rest}"),
            None => tag,
        }
    }
    canonical(one) == canonical(other)
}

/// A text as it is searched: in small letters and compatible forms (NFKD, UAX #15), without the marks above and below them.
pub fn plain_letters(text: &str) -> String {
    text.to_lowercase().nfkd().filter(|character| !unicode_normalization::char::is_combining_mark(*character)).collect()
}

/// Each run of blanks as one.
fn words(text: &str) -> String {
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The ASCII character that this one looks like, where there is one.
fn look_alike(character: char) -> char {
    if character.is_ascii() {
        return character;
    }
    let mut buffer = [0; 4];
    let mut prototype = skeleton(character.encode_utf8(&mut buffer));
    match (prototype.next(), prototype.next()) {
        (Some(prototype), None) if prototype.is_ascii() => prototype,
        _ => character,
    }
}

/// Whether a reader sees nothing of a character: blanks, and those that only steer how others are shown (Unicode general
/// category Cf and property Default_Ignorable_Code_Point).
pub const fn is_invisible(character: char) -> bool {
    is_ignorable(character) || character.is_whitespace() || matches!(character, '\u{2800}')
}

const fn is_ignorable(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same() {
        for (one, other) in [
            ("S-001", "s-001"),
            ("S-001", "S\u{2011}001"),
            ("S-001", "\u{ff33}\u{ff0d}\u{ff10}\u{ff10}\u{ff11}"),
            ("SITE 7", "SITE\u{a0}\u{a0}7"),
            ("SITE 7", "SITE\u{200b} 7"),
            ("SITE7", "SI\u{ad}TE7"),
            ("ABC", "\u{202e}ABC\u{202c}"),
            ("Z\u{fc}rich", "ZU\u{308}RICH"),
            ("Stra\u{df}e", "STRASSE"),
            ("\u{39f}\u{394}\u{39f}\u{3a3}", "\u{3bf}\u{3b4}\u{3bf}\u{3c2}"),
            // Cyrillic letters that look like Latin ones.
            ("CAB-1", "\u{421}\u{410}\u{412}-1"),
        ] {
            assert!(same(one, other), "{one:?} and {other:?}: {:?} and {:?}", key(one), key(other));
        }
    }

    #[test]
    fn what_looks_different_is_different() {
        for (one, other) in
            [("S-001", "S-0010"), ("S-001", "S001"), ("A1", "Al"), ("AO", "A0"), ("1.0", "10"), ("a b", "ab")]
        {
            assert!(!same(one, other), "{one:?} and {other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(identifier in "\\PC{0,20}") {
            let once = key(&identifier);
            prop_assert_eq!(key(&once), once.clone(), "{:?}", identifier);
        }

        #[test]
        fn case_does_not_count(identifier in "[ -~\u{c0}-\u{17f}\u{391}-\u{3c9}\u{410}-\u{44f}]{1,20}") {
            prop_assert_eq!(key(&identifier.to_uppercase()), key(&identifier.to_lowercase()));
        }
    }
}
