//! What every answer tells browsers and caches.

use service::limits::Limits;

use crate::client::{answer, get, status};
use crate::server::{CONNECTIONS, LONG, ORIGIN, Server};

#[tokio::test]
async fn every_answer_is_kept_by_nobody_and_taken_for_no_page() {
    let server = Server::start(CONNECTIONS, Limits::new(1024, LONG, 10)).await;
    let preflight =
        format!("OPTIONS /echo HTTP/1.1\r\nHost: x\r\nOrigin: {ORIGIN}\r\nAccess-Control-Request-Method: POST\r\n\r\n");
    for (request, expected) in [
        (server.post(0), "200"),
        (server.get_as("a", "/echo"), "405"),
        (get("/healthz"), "200"),
        (get("/nothing"), "404"),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".to_owned(), "401"),
        (preflight, "200"),
    ] {
        let told = answer(server.address, &request).await;
        assert_eq!(status(&told), expected, "{told}");
        for header in [
            "cache-control: no-store\r\n",
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: no-referrer\r\n",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n",
        ] {
            assert!(told.contains(header), "{header} in {told}");
        }
        assert!(!told.contains("strict-transport-security"), "{told}");
    }
}
