//! Browsers' questions whether a page may.

use service::limits::Limits;

use crate::client::{answer, status};
use crate::server::{CONNECTIONS, LONG, ORIGIN, Server};

#[tokio::test]
async fn pages_of_allowed_origins_may_and_others_may_not() {
    let server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10)).await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /echo HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization, content-type, idempotency-key\r\n\r\n"
        )
    };
    let allowed = answer(server.address, &preflight(ORIGIN)).await;
    assert_eq!(status(&allowed), "200", "without a token");
    assert!(allowed.contains(&format!("access-control-allow-origin: {ORIGIN}")), "{allowed}");
    assert!(allowed.contains("authorization") && allowed.contains("idempotency-key"), "{allowed}");
    for other in ["https://evil.example.org", "null", "https://trials.example.org.evil.org"] {
        let refused = answer(server.address, &preflight(other)).await;
        assert!(!refused.contains("access-control-allow-origin"), "{refused}");
    }
    let asked = server.post(0).replace("Host: x", &format!("Host: x\r\nOrigin: {ORIGIN}"));
    for (request, expected) in [(asked.clone(), "200"), (asked.replace("Bearer", "Basic"), "401")] {
        let answered = answer(server.address, &request).await;
        assert_eq!(status(&answered), expected);
        assert!(answered.contains(&format!("access-control-allow-origin: {ORIGIN}")), "{answered}");
        assert!(answered.contains("access-control-expose-headers: "), "{answered}");
    }
}
