//! How tokens are signed: by `ring`, which TLS brings along.
//!
//! The algorithms that come with `jsonwebtoken` bring whole libraries of their own (RSA, elliptic
//! curves, big integers) that are compiled with every program and of which HS256 needs nothing.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use ring::hmac;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.family(), key.as_bytes())?)),
    verifier_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.family(), key.try_get_as_bytes()?)?)),
    // Nobody asks for keys as JWK.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has tokens of this process signed and verified here. To be called before either; again does nothing.
pub fn install() {
    // There is one already: this one, since nobody else installs any.
    let _ = PROVIDER.install_default();
}

/// HMAC with SHA-256.
struct Hs256(hmac::Key);

impl Hs256 {
    fn new(algorithm: Algorithm, family: AlgorithmFamily, key: &[u8]) -> Result<Self> {
        if algorithm != Algorithm::HS256 {
            return Err(new_error(ErrorKind::InvalidAlgorithm));
        }
        if family != AlgorithmFamily::Hmac {
            return Err(new_error(ErrorKind::InvalidKeyFormat));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::crypto::{sign, verify};
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

    /// The example of RFC 7515, appendix A.1.
    #[test]
    fn what_is_signed_is_what_the_standard_says() {
        super::install();
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==";
        let message = concat!(
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.",
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        );
        let signed = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let encoding = EncodingKey::from_urlsafe_base64_secret(key).expect("a key");
        let made = sign(message.as_bytes(), &encoding, Algorithm::HS256).expect("a signature");
        assert_eq!(made, signed);
        let bytes = encoding.as_bytes();
        let decoding = DecodingKey::from_secret(bytes);
        let is_good = |message: &str, algorithm| verify(signed, message.as_bytes(), &decoding, algorithm);
        assert!(is_good(message, Algorithm::HS256).expect("an answer"));
        assert!(!is_good("another", Algorithm::HS256).expect("an answer"));
        assert!(is_good(message, Algorithm::HS512).is_err(), "no other algorithm");
    }
}
