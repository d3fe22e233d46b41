//! Public keys as issuers publish them (RFC 7517, RFC 7518, RFC 8037), and their thumbprints (RFC 7638).

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::algorithm::Algorithm;
use super::json;

/// Most keys in one set.
const KEYS_MAX: usize = 100;
/// Bytes of a coordinate on P-256, and of a point of Ed25519.
const COORDINATE_BYTES: usize = 32;
/// Bytes of RSA moduli: 2048 to 8192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// By what a token names the key that signed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyName {
    /// `kid`.
    pub id: String,
    /// `alg`.
    pub algorithm: Algorithm,
}

/// A key that verifies, by one algorithm and no other.
pub struct PublicKey {
    /// What tokens call it.
    pub name: KeyName,
    /// What verifies.
    pub decoding: DecodingKey,
    /// Its thumbprint: another key under the same name has another one.
    pub thumbprint: String,
}

/// An issuer's keys.
#[derive(Default)]
pub struct KeySet(HashMap<KeyName, Arc<PublicKey>>);

/// A document that is no set of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON as it must be.
    #[error("the set of keys is no JSON object, or names something twice")]
    Json(#[source] serde_json::Error),
    /// Without keys.
    #[error("the set of keys has no list `keys` of objects")]
    Keys,
    /// Too many.
    #[error("the set has more than {KEYS_MAX} keys")]
    Many,
}

impl KeySet {
    /// Reads a document (RFC 7517, 5). Keys that cannot be used are passed over, as the standard asks: of other
    /// kinds, for encryption, without a name, or with one that another key of the set has, too.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let document = json::object(text).map_err(KeySetError::Json)?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or(KeySetError::Keys)?;
        if keys.len() > KEYS_MAX {
            return Err(KeySetError::Many);
        }
        let mut found: Vec<PublicKey> = Vec::new();
        for key in keys {
            found.extend(public_key(key.as_object().ok_or(KeySetError::Keys)?));
        }
        Ok(found.into_iter().collect())
    }

    /// The key of this name.
    pub fn get(&self, name: &KeyName) -> Option<&Arc<PublicKey>> {
        self.0.get(name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<PublicKey> for KeySet {
    /// Which of two keys of one name is meant nobody can say: neither is in the set.
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        let mut named: HashMap<KeyName, Option<Arc<PublicKey>>> = HashMap::new();
        for key in keys {
            let name = key.name.clone();
            let one = Some(Arc::new(key));
            named.entry(name).and_modify(|found| *found = None).or_insert(one);
        }
        Self(named.into_iter().filter_map(|(name, key)| Some((name, key?))).collect())
    }
}

impl PublicKey {
    /// An Ed25519 key, named by its thumbprint.
    pub fn ed25519(point: &[u8]) -> Self {
        let (_, thumbprint) = ed25519_jwk(point);
        let name = KeyName { id: thumbprint.clone(), algorithm: Algorithm::EdDsa };
        Self { name, decoding: DecodingKey::from_ed_der(point), thumbprint }
    }
}

/// The key as it is published, without a name, and its thumbprint.
pub fn ed25519_jwk(point: &[u8]) -> (Value, String) {
    let x = BASE64_URL_SAFE_NO_PAD.encode(point);
    let thumbprint = thumbprint(&[("crv", "Ed25519"), ("kty", "OKP"), ("x", &x)]);
    (json!({"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA"}), thumbprint)
}

/// The hash of a key's required members, in the order of their names (RFC 7638, 3).
fn thumbprint(members: &[(&str, &str)]) -> String {
    // Texts that need no escapes: names of curves, and base64url.
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    let hash = digest(&SHA256, format!("{{{}}}", members.join(",")).as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(hash)
}

fn public_key(key: &Map<String, Value>) -> Option<PublicKey> {
    let field = |name| key.get(name).and_then(Value::as_str);
    let id = field("kid").filter(|id| !id.is_empty())?;
    if key.contains_key("use") && field("use") != Some("sig") {
        return None;
    }
    // A key whose private half is published signs for everybody.
    if key.contains_key("d") {
        return None;
    }
    if let Some(operations) = key.get("key_ops")
        && !operations.as_array()?.iter().any(|operation| operation == "verify")
    {
        return None;
    }
    let bytes = |name| BASE64_URL_SAFE_NO_PAD.decode(field(name)?).ok();
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (algorithm, decoding, thumbprint) = match (field("kty")?, field("crv")) {
        ("RSA", _) => {
            // Some providers put a zero before a number that it does not have.
            let (n, e) = (without_zeros(&bytes("n")?).to_vec(), without_zeros(&bytes("e")?).to_vec());
            if !MODULUS_BYTES.contains(&n.len()) || e.is_empty() {
                return None;
            }
            let print = thumbprint(&[("e", &encoded(&e)), ("kty", "RSA"), ("n", &encoded(&n))]);
            (Algorithm::Rs256, DecodingKey::from_rsa_raw_components(&n, &e), print)
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != COORDINATE_BYTES || y.len() != COORDINATE_BYTES {
                return None;
            }
            let print = thumbprint(&[("crv", "P-256"), ("kty", "EC"), ("x", &encoded(&x)), ("y", &encoded(&y))]);
            (Algorithm::Es256, DecodingKey::from_ec_der(&[&[4], &*x, &*y].concat()), print)
        }
        ("OKP", Some("Ed25519")) => {
            let x = bytes("x").filter(|x| x.len() == COORDINATE_BYTES)?;
            (Algorithm::EdDsa, DecodingKey::from_ed_der(&x), ed25519_jwk(&x).1)
        }
        _ => return None,
    };
    if key.contains_key("alg") && field("alg")?.parse() != Ok(algorithm) {
        return None;
    }
    Some(PublicKey { name: KeyName { id: id.to_owned(), algorithm }, decoding, thumbprint })
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    &bytes[first..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: &str = concat!(
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst",
        "n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1",
        "n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    );

    fn set(keys: &Value) -> KeySet {
        KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).expect("a set")
    }

    fn rsa() -> Value {
        json!({"kty": "RSA", "n": N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
    }

    /// The examples of RFC 7638, 3.1, and RFC 8037, appendix A.3.
    #[test]
    fn thumbprints_are_those_of_the_standards() {
        let okp =
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "e"});
        let set = set(&json!([rsa(), okp]));
        let print =
            |id: &str, algorithm| set.get(&KeyName { id: id.to_owned(), algorithm }).map(|key| key.thumbprint.clone());
        let expected = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        assert_eq!(print("2011-04-29", Algorithm::Rs256).as_deref(), Some(expected));
        assert_eq!(print("e", Algorithm::EdDsa).as_deref(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
        assert_eq!(print("e", Algorithm::Rs256), None);
    }

    #[test]
    fn what_cannot_be_used_is_passed_over() {
        let with = |name: &str, value: Value| {
            let mut key = rsa();
            key[name] = value;
            key
        };
        assert_eq!(set(&json!([rsa()])).len(), 1);
        assert_eq!(set(&json!([with("use", json!("sig")), with("kid", json!("b"))])).len(), 2);
        for key in [
            with("use", json!("enc")),
            with("use", json!(1)),
            with("alg", json!("PS256")),
            with("alg", json!("HS256")),
            with("key_ops", json!(["encrypt"])),
            with("kid", json!("")),
            with("kid", json!(7)),
            with("kty", json!("oct")),
            with("n", json!(&N[..100])),
            with("n", json!("")),
            with("n", json!("=")),
            with("e", json!("AA")),
            with("d", json!("AQAB")),
        ] {
            assert_eq!(set(&json!([key.clone()])).len(), 0, "{key}");
        }
        assert_eq!(set(&json!([rsa(), rsa()])).len(), 0, "of two with one name neither");
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
        }
        let many = json!({"keys": vec![json!({}); KEYS_MAX + 1]});
        assert!(KeySet::parse(many.to_string().as_bytes()).is_err());
    }
}
