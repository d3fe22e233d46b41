//! Bodies that are packed, within bounded memory.

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use service::problem::Problem;
use tokio::io::{AsyncRead, BufReader};

/// The window of zstd that is kept in memory, as a power of two: 8 MiB, what its format asks every decoder for (RFC 8878, 3.1.1.1.2).
const WINDOW_LOG_MAX: u32 = 23;

/// The body, unpacked as its `Content-Encoding` says.
///
/// # Errors
/// 415 where that is not known.
pub fn unpacked<R: AsyncRead + Send + Unpin + 'static>(
    headers: &HeaderMap,
    body: R,
) -> Result<Box<dyn AsyncRead + Send + Unpin>, Problem> {
    let encoding =
        headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase());
    match encoding.as_deref() {
        None | Some("identity" | "") => Ok(Box::new(body)),
        Some("gzip" | "x-gzip") => {
            let mut decoder = GzipDecoder::new(BufReader::new(body));
            // Files that were put together one behind the other.
            decoder.multiple_members(true);
            Ok(Box::new(decoder))
        }
        Some("zstd") => {
            let window = [DParameter::window_log_max(WINDOW_LOG_MAX)];
            let mut decoder = ZstdDecoder::with_params(BufReader::new(body), &window);
            decoder.multiple_members(true);
            Ok(Box::new(decoder))
        }
        Some(_) => {
            let detail = "Send the body as it is, or packed with gzip or zstd and with that `Content-Encoding`.";
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail);
            Err(problem.with_header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd")))
        }
    }
}
