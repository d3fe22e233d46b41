//! Tokens of a real OpenID Connect provider (npm's `oidc-provider`), whose keys change and which goes away.

use std::time::{Duration, Instant};

use futures::future::join_all;
use service::identity::{Algorithm, Flaw, IdentityError, TokenType, Verifier};
use service::settings::{IdentitySettings, OidcIssuer};
use testkit::{Oidc, eventually, oidc};
use tokio_util::sync::CancellationToken;

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The least time between two look-ups of keys in these tests.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes tokens of this issuer.
pub fn issuer(url: &str, audience: &str) -> OidcIssuer {
    OidcIssuer {
        url: url.to_owned(),
        audience: audience.to_owned(),
        algorithms: Algorithm::ALL.to_vec(),
        token_type: TokenType::AccessToken,
        plain: false,
    }
}

/// Settings with these issuers.
pub fn settings(oidc_issuers: Vec<OidcIssuer>) -> IdentitySettings {
    IdentitySettings {
        oidc_issuers,
        oidc_ca: None,
        oidc_leeway_seconds: 30,
        oidc_refetch_seconds: PAUSE.as_secs(),
        oidc_kept_seconds_max: 3_600,
        token_seconds_max: 3_600,
    }
}

fn verifier(provider: &Oidc) -> Verifier {
    let issuer = issuer(&provider.server.issuer(), &provider.audience);
    Verifier::new(None, &settings(vec![issuer])).expect("good settings")
}

/// The token with another name of its key: signed by none.
fn with_key_id(token: &str, id: &str) -> String {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let (_, rest) = token.split_once('.').expect("a token");
    let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{id}"}}"#);
    format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header))
}

#[tokio::test]
async fn whoever_a_provider_vouches_for_is_known_by_each_algorithm() {
    let provider = oidc(None, None).await;
    let verifier = verifier(&provider);
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let token = provider.token("nurse-1", algorithm).await;
        let identity = verifier.verify(&token).await.expect("it holds");
        assert_eq!((&*identity.subject, &identity.issuer), ("nurse-1", &provider.server.issuer()), "{algorithm}");
        assert_eq!((identity.expires_at - identity.issued_at).num_seconds(), 630, "{algorithm}");
        assert!(identity.token_id.is_some() && identity.auth_time.is_none());
        assert_eq!(verifier.verify(&token).await, Ok(identity), "remembered");
        // The last character but one holds bits of the signature.
        let place = token.len() - 2;
        let other = if &token[place..=place] == "A" { "B" } else { "A" };
        let forged = format!("{}{other}{}", &token[..place], &token[place + 1..]);
        assert_eq!(verifier.verify(&forged).await, Err(IdentityError::BadSignature), "{algorithm}");
    }
    assert_eq!(provider.looked_up().await, 1);
}

#[tokio::test]
async fn an_issuer_is_taken_as_it_is_set_and_no_other() {
    let (provider, other) = tokio::join!(oidc(None, None), oidc(None, None));
    let token = provider.token("nurse-1", "RS256").await;
    let told = async |issuer: OidcIssuer| {
        let verifier = Verifier::new(None, &settings(vec![issuer])).expect("good settings");
        verifier.verify(&token).await.map(|identity| identity.subject)
    };
    let url = provider.server.issuer();
    assert_eq!(told(issuer(&url, "anamnesis")).await, Ok("nurse-1".to_owned()));
    assert_eq!(told(issuer(&url, "another")).await, Err(IdentityError::WrongAudience));
    assert_eq!(told(issuer(&other.server.issuer(), "anamnesis")).await, Err(IdentityError::UnknownIssuer));
    // Not even by a slash.
    assert_eq!(told(issuer(&format!("{url}/"), "anamnesis")).await, Err(IdentityError::UnknownIssuer));
    let es256 = OidcIssuer { algorithms: vec![Algorithm::Es256], ..issuer(&url, "anamnesis") };
    assert_eq!(told(es256).await, Err(IdentityError::Malformed(Flaw::Algorithm)));
    assert_eq!(
        told(OidcIssuer { token_type: TokenType::Jwt, ..issuer(&url, "anamnesis") }).await.as_deref(),
        Ok("nurse-1")
    );
    let short = IdentitySettings { token_seconds_max: 599, ..settings(vec![issuer(&url, "anamnesis")]) };
    let verifier = Verifier::new(None, &short).expect("good settings");
    assert_eq!(verifier.verify(&token).await, Err(IdentityError::Malformed(Flaw::Lifetime)));
    let twice = settings(vec![issuer(&url, "a"), issuer(&url, "b")]);
    assert!(Verifier::new(None, &twice).is_err_and(|error| error.to_string().contains(&url)));
    let two = settings(vec![issuer(&url, "anamnesis"), issuer(&other.server.issuer(), "anamnesis")]);
    let verifier = Verifier::new(None, &two).expect("good settings");
    let others = other.token("nurse-1", "EdDSA").await;
    let (one, another) = tokio::join!(verifier.verify(&token), verifier.verify(&others));
    let (one, another) = (one.expect("it holds"), another.expect("it holds"));
    assert_eq!(one.subject, another.subject);
    assert_ne!(one.issuer, another.issuer, "another person");
}

/// Those who are to be let in wait at most until keys may be looked up again, and are never told that they are not known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_while_eight_verify() {
    const ROTATIONS: u32 = 4;
    let provider = oidc(None, None).await;
    let verifier = verifier(&provider);
    let started = Instant::now();
    let done = CancellationToken::new();
    let verify = async |number: usize| {
        let (mut held, mut waited) = (0_u32, 0_u32);
        while !done.is_cancelled() {
            let algorithm = ["RS256", "ES256", "EdDSA"][number % 3];
            let token = provider.token("nurse-2", algorithm).await;
            loop {
                match verifier.verify(&token).await {
                    Ok(identity) => {
                        assert_eq!(identity.subject, "nurse-2");
                        held += 1;
                        break;
                    }
                    Err(IdentityError::Unavailable { retry_after_seconds }) => {
                        assert_eq!(retry_after_seconds, 1);
                        waited += 1;
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
                }
            }
        }
        (held, waited)
    };
    let rotate = async {
        let mut kept = Vec::new();
        for _ in 0..ROTATIONS {
            let before = provider.token("nurse-1", "ES256").await;
            eventually("the key is known", PATIENCE, async || verifier.verify(&before).await.is_ok()).await;
            kept.push(before);
            provider.rotate(true).await;
            for token in &kept {
                assert!(verifier.verify(token).await.is_ok(), "keys that are still published go on");
            }
        }
        let last = provider.token("nurse-1", "ES256").await;
        eventually("the last key is known", PATIENCE, async || verifier.verify(&last).await.is_ok()).await;
        done.cancel();
    };
    let (counts, ()) = tokio::join!(join_all((0..8).map(verify)), rotate);
    assert!(counts.iter().all(|(held, _)| *held > 0), "{counts:?}");
    let looked_up = provider.looked_up().await;
    let allowed = started.elapsed().as_secs() / PAUSE.as_secs() + 1;
    assert!((u64::from(ROTATIONS) + 1..=allowed).contains(&looked_up), "{looked_up} of {allowed}; {counts:?}");
}

#[tokio::test]
async fn while_a_provider_is_away_only_those_go_on_whose_key_is_known() {
    let mut provider = oidc(None, None).await;
    let (verifier, late) = (verifier(&provider), verifier(&provider));
    let early = provider.token("nurse-1", "ES256").await;
    verifier.verify(&early).await.expect("it holds");
    let not_yet_seen = provider.token("nurse-2", "RS256").await;
    provider.rotate(true).await;
    let by_new_key = provider.token("nurse-1", "ES256").await;
    provider.server.kill();
    let stays_out = async |verifier: &Verifier, token: &str| {
        let error = verifier.verify(token).await.expect_err("nobody gets in");
        assert!(matches!(error, IdentityError::Unavailable { retry_after_seconds: 1 }), "{error}");
    };
    let away_since = Instant::now();
    while away_since.elapsed() < 3 * PAUSE {
        assert_eq!(verifier.verify(&early).await.expect("remembered").subject, "nurse-1");
        assert_eq!(verifier.verify(&not_yet_seen).await.expect("its key is known").subject, "nurse-2");
        stays_out(&verifier, &by_new_key).await;
        stays_out(&verifier, &with_key_id(&early, "made-up")).await;
        // Whoever never heard of the keys lets nobody in.
        stays_out(&late, &early).await;
        let forged = format!("{}A", &not_yet_seen[..not_yet_seen.len() - 1]);
        if forged != not_yet_seen {
            assert!(verifier.verify(&forged).await.is_err());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    provider.server.resume().expect("it starts again");
    for verifier in [&verifier, &late] {
        for token in [&early, &by_new_key, &not_yet_seen] {
            eventually("the keys are known", PATIENCE, async || verifier.verify(token).await.is_ok()).await;
        }
    }
}

#[tokio::test]
async fn keys_are_not_used_on_for_ever_while_their_issuer_is_away() {
    let mut provider = oidc(None, None).await;
    let issuer = issuer(&provider.server.issuer(), &provider.audience);
    let short = IdentitySettings { oidc_kept_seconds_max: 2, ..settings(vec![issuer]) };
    let verifier = Verifier::new(None, &short).expect("good settings");
    let token = provider.token("nurse-1", "EdDSA").await;
    verifier.verify(&token).await.expect("it holds");
    provider.server.kill();
    eventually("the keys are too old", PATIENCE, async || {
        matches!(verifier.verify(&token).await, Err(IdentityError::Unavailable { .. }))
    })
    .await;
    provider.server.resume().expect("it starts again");
    eventually("they are known again", PATIENCE, async || verifier.verify(&token).await.is_ok()).await;
}

/// Without a flood a refusal says that there is no such key; within one keys are looked up as often as is set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys_costs_the_provider_nothing() {
    let provider = oidc(None, None).await;
    let verifier = verifier(&provider);
    let token = provider.token("nurse-1", "ES256").await;
    let made_up = with_key_id(&token, "../../dev/null");
    assert_eq!(verifier.verify(&made_up).await, Err(IdentityError::UnknownKey));
    let started = Instant::now();
    let flood = async |task: u32| {
        for number in 0..200 {
            let error =
                verifier.verify(&with_key_id(&token, &format!("{task}-{number}"))).await.expect_err("a made-up key");
            let is_known = matches!(error, IdentityError::UnknownKey | IdentityError::Unavailable { .. });
            assert!(is_known, "{error}");
        }
    };
    let others = async {
        for _ in 0..20 {
            assert!(verifier.verify(&token).await.is_ok(), "others are served meanwhile");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(join_all((0..50).map(flood)), others);
    let (looked_up, allowed) = (provider.looked_up().await, started.elapsed().as_secs() / PAUSE.as_secs() + 2);
    assert!(looked_up <= allowed, "{looked_up} of {allowed}");
}

#[tokio::test]
async fn a_key_that_was_taken_back_opens_nothing_any_more() {
    let provider = oidc(Some(1), None).await;
    let verifier = verifier(&provider);
    let shutdown = CancellationToken::new();
    let fresh = tokio::spawn(verifier.clone().keep_fresh(shutdown.clone()));
    let token = provider.token("nurse-1", "ES256").await;
    eventually("the keys are known", PATIENCE, async || verifier.verify(&token).await.is_ok()).await;
    provider.rotate(false).await;
    eventually("the key is gone", PATIENCE, async || verifier.verify(&token).await == Err(IdentityError::UnknownKey))
        .await;
    assert!(verifier.verify(&provider.token("nurse-1", "ES256").await).await.is_ok());
    shutdown.cancel();
    fresh.await.expect("it ends");
}

#[tokio::test]
async fn a_provider_is_asked_by_tls_and_has_to_prove_who_it_is() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let provider = oidc(None, Some((made.cert.pem(), made.signing_key.serialize_pem()))).await;
    assert!(provider.server.issuer().starts_with("https://"));
    let token = provider.token("nurse-1", "ES256").await;
    let folder = tempfile::tempdir().expect("a folder");
    let trusting = |name: &str, certificate: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, certificate).expect("it is written");
        let issuer = issuer(&provider.server.issuer(), &provider.audience);
        Verifier::new(None, &IdentitySettings { oidc_ca: Some(file), ..settings(vec![issuer]) })
    };
    let right = trusting("right.pem", &made.cert.pem()).expect("good settings");
    assert_eq!(right.verify(&token).await.expect("it holds").subject, "nurse-1");
    let wrong = trusting("wrong.pem", &other.cert.pem()).expect("good settings");
    assert!(matches!(wrong.verify(&token).await, Err(IdentityError::Unavailable { .. })));
    assert!(trusting("none.pem", "nothing").is_err(), "a file without authorities");
}
