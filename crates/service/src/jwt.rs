//! How tokens are signed and verified: by `ring`, which TLS brings along.
//!
//! The algorithms that come with `jsonwebtoken` bring whole libraries of their own (RSA, elliptic
//! curves, big integers) that are compiled with every program and of which we need nothing.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result, new_error};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::error;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Has tokens of this process signed and verified here. To be called before either; again does nothing.
pub fn install() {
    // There is one already: this one, since nobody else installs any.
    let _ = PROVIDER.install_default();
}

/// What signs: EdDSA, by an Ed25519 key in PKCS #8.
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    match (algorithm, key.family()) {
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes()).map_err(|_| unfit())?;
            Ok(Box::new(Ed25519(pair)))
        }
        (algorithm, _) => Err(not_by(*algorithm, &[Algorithm::EdDSA])),
    }
}

/// What verifies: the algorithm has to fit the kind of key, so that no public key is ever taken for a secret.
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    match (algorithm, key.family(), key.kind()) {
        (Algorithm::RS256, AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Ok(Box::new(Rs256(PublicKeyComponents { n: n.clone(), e: e.clone() })))
        }
        (Algorithm::ES256, AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => {
            Ok(Box::new(Curve::new(Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, point)))
        }
        (Algorithm::EdDSA, AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(point)) => {
            Ok(Box::new(Curve::new(Algorithm::EdDSA, &ED25519, point)))
        }
        (algorithm, ..) => Err(not_by(*algorithm, &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA])),
    }
}

/// Neither the algorithm, or not with this kind of key.
fn not_by(algorithm: Algorithm, known: &[Algorithm]) -> Error {
    if known.contains(&algorithm) { unfit() } else { new_error(ErrorKind::InvalidAlgorithm) }
}

fn unfit() -> Error {
    new_error(ErrorKind::InvalidKeyFormat)
}

fn verdict(result: std::result::Result<(), error::Unspecified>) -> std::result::Result<(), signature::Error> {
    result.map_err(|_| signature::Error::new())
}

/// Signs by Ed25519.
struct Ed25519(Ed25519KeyPair);

impl Signer<Vec<u8>> for Ed25519 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Ed25519 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

/// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 to 8192 bits.
struct Rs256(PublicKeyComponents<Vec<u8>>);

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        verdict(self.0.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature))
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

/// A public key that is a point of a curve: ECDSA on P-256, Ed25519.
struct Curve {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl Curve {
    fn new(algorithm: Algorithm, by: &'static dyn VerificationAlgorithm, point: &[u8]) -> Self {
        Self { algorithm, key: UnparsedPublicKey::new(by, point.to_vec()) }
    }
}

impl Verifier<Vec<u8>> for Curve {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        verdict(self.key.verify(message, signature))
    }
}

impl JwtVerifier for Curve {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::crypto::{sign, verify};
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

    /// The message of RFC 7515, appendices A.2 and A.3, after their headers.
    const CLAIMS: &str =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

    /// The example of RFC 7515, appendix A.2.
    #[test]
    fn rs256_is_verified_as_the_standard_says() {
        let n = concat!(
            "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR",
            "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB",
            "dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia",
            "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
        );
        let signed = concat!(
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9",
            "uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB",
            "_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rq",
            "Vt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        );
        let key = DecodingKey::from_rsa_components(n, "AQAB").expect("a key");
        holds(signed, &format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}"), &key, Algorithm::RS256);
    }

    /// The example of RFC 7515, appendix A.3.
    #[test]
    fn es256_is_verified_as_the_standard_says() {
        let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let signed = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let key = DecodingKey::from_ec_components(x, y).expect("a key");
        holds(signed, &format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}"), &key, Algorithm::ES256);
    }

    /// The example of RFC 8037, appendices A.1 to A.5: key, signature, verification.
    #[test]
    fn eddsa_signs_and_verifies_as_the_standard_says() {
        super::install();
        // RFC 8410's PKCS #8 around the seed `nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A`.
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let around = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signed = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let encoding = EncodingKey::from_ed_der(&[&around[..], &seed].concat());
        assert_eq!(sign(message.as_bytes(), &encoding, Algorithm::EdDSA).expect("a signature"), signed);
        let key = DecodingKey::from_ed_components("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("a key");
        holds(signed, message, &key, Algorithm::EdDSA);
    }

    /// The signature is of this message, by this algorithm, and of and by no other.
    #[track_caller]
    fn holds(signed: &str, message: &str, key: &DecodingKey, algorithm: Algorithm) {
        super::install();
        let is_good = |message: &str, algorithm| verify(signed, message.as_bytes(), key, algorithm);
        assert!(is_good(message, algorithm).expect("an answer"));
        assert!(!is_good("another", algorithm).expect("an answer"));
        let others = [
            Algorithm::HS256,
            Algorithm::HS512,
            Algorithm::RS256,
            Algorithm::PS256,
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::EdDSA,
        ];
        for other in others.into_iter().filter(|other| *other != algorithm) {
            assert!(is_good(message, other).is_err(), "{other:?}");
        }
    }
}
