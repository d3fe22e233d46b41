//! Tokens that somebody made who should not get in, or that are broken; and those of this program itself.

use std::time::Duration;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use event_store::clock;
use ring::hmac;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use service::identity::{Flaw, IdentityError, OWN_ISSUER, SigningKey, SigningKeys, Source, Verifier};
use service::settings::IdentitySettings;
use testkit::eventually;

use crate::identity::settings;

/// PKCS #8 of the key of RFC 8410, 10.3.
const DOCUMENT: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";

/// Who has the server's key, and makes whatever tokens.
struct Forge {
    keys: SigningKeys,
    pair: Ed25519KeyPair,
}

impl Forge {
    fn new() -> Self {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{DOCUMENT}\n-----END PRIVATE KEY-----\n");
        let document = BASE64_STANDARD.decode(DOCUMENT).expect("base64");
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).expect("a key");
        Self { keys: SigningKeys::parse(&pem).expect("a key"), pair }
    }

    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.keys.signing().id()})
    }

    /// A token with these texts, signed by the real key.
    fn of_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// A good token but for these claims; `null` takes one away.
    fn with_claims(&self, changes: &Value) -> String {
        self.of_text(&self.header().to_string(), &changed(claims(), changes).to_string())
    }

    /// A good token but for these fields of its header.
    fn with_header(&self, changes: &Value) -> String {
        self.of_text(&changed(self.header(), changes).to_string(), &claims().to_string())
    }

    /// Signed by HS256 with this secret.
    fn by_secret(&self, secret: &[u8]) -> String {
        let header = changed(self.header(), &json!({"alg": "HS256"})).to_string();
        let signed = format!(
            "{}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(header),
            BASE64_URL_SAFE_NO_PAD.encode(claims().to_string())
        );
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
    }
}

fn claims() -> Value {
    let now = clock::now().timestamp();
    json!({"iss": OWN_ISSUER, "aud": "anamnesis", "sub": "nurse-1", "iat": now, "nbf": now, "exp": now + 600, "jti": "1"})
}

fn changed(mut object: Value, changes: &Value) -> Value {
    let fields = object.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    object
}

/// Each is refused, and for what is wrong with it.
async fn all_are_refused(tokens: Vec<(&str, String, IdentityError)>) {
    let forge = Forge::new();
    let verifier = Verifier::own(forge.keys.clone());
    let good = forge.with_claims(&json!({}));
    assert_eq!(verifier.verify(&good).await.expect("what is changed in the others is good here").subject, "nurse-1");
    for (what, token, error) in tokens {
        assert_eq!(verifier.verify(&token).await, Err(error), "{what}");
    }
    assert!(verifier.verify(&good).await.is_ok());
}

fn malformed(flaw: Flaw) -> IdentityError {
    IdentityError::Malformed(flaw)
}

#[tokio::test]
async fn a_token_cannot_choose_how_it_is_verified() {
    let forge = Forge::new();
    let jwks = forge.keys.jwks();
    let x = jwks["keys"][0]["x"].as_str().expect("a point");
    let point = BASE64_URL_SAFE_NO_PAD.decode(x).expect("base64url");
    let stranger = SigningKey::random().expect("a key");
    let own = |token: Result<String, _>| token.expect("a token");
    let strangers = own(stranger.issue("nurse-1", SigningKey::LIFETIME, None));
    let algorithm = || malformed(Flaw::Algorithm);
    let unsigned = |alg: &str| {
        let token = forge.with_header(&json!({"alg": alg}));
        token.rsplit_once('.').map(|(signed, _)| format!("{signed}.")).expect("a token")
    };
    // Signed by a stranger under the name of the real key.
    let (header, rest) = (forge.header().to_string(), strangers.split_once('.').expect("a token").1);
    let under_our_name = format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header));
    let good = forge.with_claims(&json!({}));
    let cut =
        good.rsplit_once('.').map(|(signed, signature)| format!("{signed}.{}", &signature[..80])).expect("a token");
    let empty = good.rsplit_once('.').map(|(signed, _)| format!("{signed}.")).expect("a token");
    all_are_refused(vec![
        ("none", unsigned("none"), algorithm()),
        ("nOnE", unsigned("nOnE"), algorithm()),
        ("no alg", forge.with_header(&json!({"alg": null})), algorithm()),
        ("alg in a list", forge.with_header(&json!({"alg": ["EdDSA"]})), algorithm()),
        ("HS256 by the public key", forge.by_secret(&point), algorithm()),
        ("HS256 by the public key as published", forge.by_secret(x.as_bytes()), algorithm()),
        ("HS256 by the set of keys", forge.by_secret(jwks.to_string().as_bytes()), algorithm()),
        ("HS256 by nothing", forge.by_secret(b""), algorithm()),
        ("HS512", forge.with_header(&json!({"alg": "HS512"})), algorithm()),
        ("PS256", forge.with_header(&json!({"alg": "PS256"})), algorithm()),
        ("ES256 of an Ed25519 key", forge.with_header(&json!({"alg": "ES256"})), algorithm()),
        ("RS256 of an Ed25519 key", forge.with_header(&json!({"alg": "RS256"})), algorithm()),
        ("a stranger's key", strangers, IdentityError::UnknownKey),
        ("a stranger's key by our name", under_our_name, IdentityError::BadSignature),
        ("no signature", empty, IdentityError::BadSignature),
        ("half a signature", cut, IdentityError::BadSignature),
        ("no kid", forge.with_header(&json!({"kid": null})), malformed(Flaw::KeyId)),
        ("an empty kid", forge.with_header(&json!({"kid": ""})), malformed(Flaw::KeyId)),
        ("a long kid", forge.with_header(&json!({"kid": "k".repeat(256)})), malformed(Flaw::KeyId)),
        ("kid is a number", forge.with_header(&json!({"kid": 1})), malformed(Flaw::KeyId)),
        ("kid is a path", forge.with_header(&json!({"kid": "../../../dev/null"})), IdentityError::UnknownKey),
        ("kid is SQL", forge.with_header(&json!({"kid": "' OR 1=1 --"})), IdentityError::UnknownKey),
        ("crit", forge.with_header(&json!({"crit": ["exp"]})), malformed(Flaw::Critical)),
        ("crit and b64", forge.with_header(&json!({"crit": ["b64"], "b64": false})), malformed(Flaw::Critical)),
    ])
    .await;
}

/// Where a token says by itself where its key is, nobody looks.
#[tokio::test]
async fn a_key_that_a_token_brings_along_is_not_looked_at() {
    let forge = Forge::new();
    let stranger = SigningKeys::random().expect("a key");
    let theirs = stranger.jwks()["keys"][0].clone();
    let token = stranger.signing().issue("nurse-1", SigningKey::LIFETIME, None).expect("a token");
    let verifier = Verifier::own(forge.keys.clone());
    for fields in
        [json!({"jwk": theirs}), json!({"jku": "https://evil.example.org/jwks"}), json!({"x5u": "https://evil"})]
    {
        let header = changed(changed(forge.header(), &fields), &json!({"kid": stranger.signing().id()}));
        let token = format!(
            "{}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(header.to_string()),
            token.split_once('.').expect("a token").1
        );
        let told = verifier.verify(&token).await;
        assert_eq!(told, Err(IdentityError::UnknownKey), "{fields}");
    }
}

#[tokio::test]
async fn a_token_has_one_form() {
    let forge = Forge::new();
    let good = forge.with_claims(&json!({}));
    let (header, claims) = (forge.header().to_string(), claims().to_string());
    let twice = |text: &str, field: &str| text.replacen('{', &format!("{{{field},"), 1);
    let parts: Vec<&str> = good.split('.').collect();
    let padded = format!("{}.{}.{}", BASE64_URL_SAFE.encode(header.clone() + " "), parts[1], parts[2]);
    assert!(padded.contains('='));
    let form = || malformed(Flaw::Form);
    all_are_refused(vec![
        ("nothing", String::new(), form()),
        ("a word", "token".to_owned(), form()),
        ("two parts", format!("{}.{}", parts[0], parts[1]), form()),
        ("four parts", format!("{good}.{}", parts[2]), form()),
        ("five parts, as encrypted ones have", format!("{good}.a.b"), form()),
        ("padding", padded, form()),
        ("a line break", good.replacen('.', ".\n", 1), form()),
        ("a blank behind", format!("{good} "), form()),
        ("other base64", good.replacen('.', "+/.", 1), form()),
        ("huge", forge.with_claims(&json!({"x": "x".repeat(10_000)})), malformed(Flaw::Length)),
        ("a header that is a list", forge.of_text("[]", &claims), malformed(Flaw::Header)),
        ("a header that is no JSON", forge.of_text("x", &claims), malformed(Flaw::Header)),
        ("alg twice", forge.of_text(&twice(&header, r#""alg":"none""#), &claims), malformed(Flaw::Header)),
        ("claims that are a list", forge.of_text(&header, "[]"), malformed(Flaw::Claims)),
        ("claims that are no UTF-8", forge.of_text(&header, "").replace("..", ".gA."), malformed(Flaw::Claims)),
        ("sub twice", forge.of_text(&header, &twice(&claims, r#""sub":"admin""#)), malformed(Flaw::Claims)),
        (
            "sub twice by escapes",
            forge.of_text(&header, &twice(&claims, r#""\u0073ub":"admin""#)),
            malformed(Flaw::Claims),
        ),
        ("something behind the claims", forge.of_text(&header, &format!("{claims}{{}}")), malformed(Flaw::Claims)),
        ("typ JWT", forge.with_header(&json!({"typ": "JWT"})), malformed(Flaw::Type)),
        ("no typ", forge.with_header(&json!({"typ": null})), malformed(Flaw::Type)),
        ("typ of a logout token", forge.with_header(&json!({"typ": "logout+jwt"})), malformed(Flaw::Type)),
        ("typ is a number", forge.with_header(&json!({"typ": 1})), malformed(Flaw::Type)),
    ])
    .await;
}

#[tokio::test]
async fn claims_are_taken_to_the_letter() {
    let forge = Forge::new();
    let now = clock::now().timestamp();
    let with = |changes: Value| forge.with_claims(&changes);
    let missing = |name| malformed(Flaw::Missing(name));
    let claim = |name| malformed(Flaw::Claim(name));
    all_are_refused(vec![
        ("no iss", with(json!({"iss": null})), missing("iss")),
        ("iss in a list", with(json!({"iss": [OWN_ISSUER]})), claim("iss")),
        ("another iss", with(json!({"iss": "https://evil.example.org"})), IdentityError::UnknownIssuer),
        ("iss in capitals", with(json!({"iss": "Anamnesis"})), IdentityError::UnknownIssuer),
        ("no aud", with(json!({"aud": null})), missing("aud")),
        ("another aud", with(json!({"aud": "billing"})), IdentityError::WrongAudience),
        ("a list of other auds", with(json!({"aud": ["billing", "anamnesis2"]})), IdentityError::WrongAudience),
        ("an empty list of auds", with(json!({"aud": []})), IdentityError::WrongAudience),
        ("a list of auds with a number", with(json!({"aud": ["anamnesis", 1]})), claim("aud")),
        ("aud is an object", with(json!({"aud": {"anamnesis": true}})), claim("aud")),
        ("no sub", with(json!({"sub": null})), missing("sub")),
        ("sub is a number", with(json!({"sub": 7})), claim("sub")),
        ("an empty sub", with(json!({"sub": ""})), malformed(Flaw::Subject)),
        ("a process manager", with(json!({"sub": "system:saga"})), malformed(Flaw::Subject)),
        ("a sub that is shown backwards", with(json!({"sub": "\u{202e}1-esrun"})), malformed(Flaw::Subject)),
        ("a sub with a line break", with(json!({"sub": "a\r\nb"})), malformed(Flaw::Subject)),
        ("a long sub", with(json!({"sub": "a".repeat(256)})), malformed(Flaw::Subject)),
        ("no exp", with(json!({"exp": null})), missing("exp")),
        ("exp is a fraction", with(json!({"exp": now as f64 + 600.5})), claim("exp")),
        ("exp is a text", with(json!({"exp": (now + 600).to_string()})), claim("exp")),
        ("exp below zero", with(json!({"exp": -1})), claim("exp")),
        ("exp beyond all time", with(json!({"exp": i64::MAX})), claim("exp")),
        ("exp beyond all numbers", with(json!({"exp": u64::MAX})), claim("exp")),
        ("expired", with(json!({"iat": now - 600, "nbf": now - 600, "exp": now - 1})), IdentityError::Expired),
        ("expired just now", with(json!({"iat": now - 600, "nbf": now - 600, "exp": now})), IdentityError::Expired),
        ("no iat", with(json!({"iat": null})), missing("iat")),
        ("iat to come", with(json!({"iat": now + 120})), IdentityError::NotYetValid),
        ("nbf to come", with(json!({"nbf": now + 120})), IdentityError::NotYetValid),
        ("nbf is a text", with(json!({"nbf": "now"})), claim("nbf")),
        ("good for no time", with(json!({"iat": now + 2, "exp": now + 2})), malformed(Flaw::Lifetime)),
        ("good for ten years", with(json!({"exp": now + 315_360_000})), malformed(Flaw::Lifetime)),
        ("auth_time is a text", with(json!({"auth_time": "now"})), claim("auth_time")),
        ("auth_time to come", with(json!({"auth_time": now + 120})), claim("auth_time")),
        ("jti is a number", with(json!({"jti": 1})), claim("jti")),
        ("a jti with control characters", with(json!({"jti": "a\u{0}"})), claim("jti")),
    ])
    .await;
}

#[tokio::test]
async fn a_token_of_ours_says_who_and_ends_to_the_second() {
    let keys = SigningKeys::random().expect("a key");
    let verifier = Verifier::own(keys.clone());
    let signed_in = clock::now() - Duration::from_secs(30);
    let lifetime = Duration::from_secs(2);
    let token = keys.signing().issue("nurse-1", lifetime, Some(signed_in)).expect("a token");
    let identity = verifier.verify(&token).await.expect("it holds");
    assert_eq!((&*identity.issuer, &*identity.subject), (OWN_ISSUER, "nurse-1"));
    assert_eq!(identity.auth_time.map(|time| time.timestamp()), Some(signed_in.timestamp()));
    assert_eq!(identity.expires_at, identity.issued_at + lifetime);
    assert!(identity.token_id.is_some());
    let payload = token.split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok()).expect("claims");
    let claims: Value = serde_json::from_slice(&payload).expect("JSON");
    let mut names: Vec<&str> = claims.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["aud", "auth_time", "exp", "iat", "iss", "jti", "nbf", "sub"], "who, never what");
    // Also one that is remembered.
    eventually("it ends", Duration::from_secs(30), async || {
        let asked_at = clock::now();
        let told = verifier.verify(&token).await;
        assert!(told.is_err() || asked_at < identity.expires_at, "never later than its end");
        told == Err(IdentityError::Expired)
    })
    .await;
    assert!(clock::now() >= identity.expires_at);
}

/// Several processes share the public keys; whoever has only these verifies and cannot sign.
#[tokio::test]
async fn keys_in_files_change_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (key_file, jwks_file) = (folder.path().join("signing.pem"), folder.path().join("jwks.json"));
    let old = SigningKeys::load_or_create(&key_file).expect("a key");
    let publish = |keys: &SigningKeys| std::fs::write(&jwks_file, keys.jwks().to_string()).expect("it is written");
    publish(&old);
    let settings = IdentitySettings { oidc_refetch_seconds: 1, ..settings(Vec::new()) };
    let by = |source| Verifier::new(Some(source), &settings).expect("good settings");
    let verifiers = [by(Source::KeyFile(key_file.clone())), by(Source::JwksFile(jwks_file.clone()))];
    let issue = |keys: &SigningKeys| keys.signing().issue("nurse-1", SigningKey::LIFETIME, None).expect("a token");
    let before = issue(&old);
    for verifier in &verifiers {
        assert_eq!(verifier.verify(&before).await.expect("it holds").subject, "nurse-1");
    }
    let text = std::fs::read_to_string(&key_file).expect("it is there");
    let other_file = folder.path().join("other.pem");
    SigningKeys::load_or_create(&other_file).expect("a key");
    let new_text = std::fs::read_to_string(&other_file).expect("it is there");
    std::fs::write(&key_file, format!("{new_text}{text}")).expect("it is written");
    let both = SigningKeys::load(&key_file).expect("two keys");
    publish(&both);
    let after = issue(&both);
    for verifier in &verifiers {
        eventually("the new key is known", Duration::from_secs(30), async || verifier.verify(&after).await.is_ok())
            .await;
        assert!(verifier.verify(&before).await.is_ok(), "the old one still verifies");
    }
    // A key that is not there is nobody's, however often strangers ask for one: they are not told to come again.
    let stranger = SigningKeys::random().expect("a key");
    for _ in 0..20 {
        assert_eq!(verifiers[0].verify(&issue(&stranger)).await, Err(IdentityError::UnknownKey));
    }
    std::fs::remove_file(&key_file).expect("it is removed");
    let missing = by(Source::KeyFile(key_file));
    assert!(matches!(missing.verify(&after).await, Err(IdentityError::Unavailable { .. })));
}
