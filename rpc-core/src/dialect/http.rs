//! `CONNECT`, as Go's `rpc.HandleHTTP` answers and `rpc.DialHTTP` asks.

use std::fmt;

/// Go's `rpc.DefaultRPCPath`.
pub const DEFAULT_PATH: &str = "/_goRPC_";

/// The most a request or an answer may have before its empty line.
const MAX_HEAD: usize = 8 * 1024;

/// The most headers it may have.
const MAX_HEADERS: usize = 64;

/// What an HTTP client's first bytes ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// That cannot be told yet.
    Undecided,
    /// The tunnel: its request has so many bytes, and what is behind them belongs to what is spoken
    /// next. Answer [`CONNECTED`].
    Connect(usize),
    /// Something else: send this and close.
    Refused(String),
}

/// Go's answer to `CONNECT`, to the byte.
pub const CONNECTED: &[u8] = b"HTTP/1.0 200 Connected to Go RPC\n\n";

/// Reads the request at the front of what the peer sent, for a server whose calls are made on `path`.
///
/// Anything but `CONNECT` gets Go's answer, `405 must CONNECT`; another path gets a 404.
pub fn read_request(bytes: &[u8], path: &str) -> Request {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => match (request.method, request.path) {
            (Some("CONNECT"), Some(asked)) if asked == path => Request::Connect(len),
            (Some("CONNECT"), _) => {
                Request::Refused(refusal("404 Not Found", "404 page not found"))
            }
            _ => Request::Refused(refusal("405 Method Not Allowed", "405 must CONNECT")),
        },
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD => Request::Undecided,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            let text = "431 the request has too many or too long headers";
            Request::Refused(refusal("431 Request Header Fields Too Large", text))
        }
        Err(error) => {
            Request::Refused(refusal("400 Bad Request", &format!("400 bad request: {error}")))
        }
    }
}

/// An answer that ends the connection.
pub fn refusal(status: &str, text: &str) -> String {
    let length = text.len() + 1;
    format!(
        "HTTP/1.0 {status}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Content-Length: {length}\r\n\
         Connection: close\r\n\
         \r\n\
         {text}\n"
    )
}

/// What a client sends to get to a server's `path`.
pub fn write_request(path: &str) -> String {
    format!("CONNECT {path} HTTP/1.0\n\n")
}

/// Reads the answer to [`write_request`]; `None` if it is not whole yet. The connection is that of
/// what is spoken next if it is `Ok`, beginning after so many bytes.
///
/// # Errors
/// What the server answered instead.
pub fn read_answer(bytes: &[u8]) -> Option<Result<usize, UnexpectedAnswer>> {
    let unexpected = |text: String| Some(Err(UnexpectedAnswer(text)));
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    match answer.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if answer.code == Some(200) => Some(Ok(len)),
        Ok(httparse::Status::Complete(_)) => {
            let (code, reason) = (answer.code.unwrap_or(0), answer.reason.unwrap_or(""));
            unexpected(format!("{code} {reason}").trim_end().to_owned())
        }
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD => None,
        Ok(httparse::Status::Partial) => unexpected("headers without an end".to_owned()),
        Err(error) => unexpected(format!("{error}: \"{}\"", start(bytes).escape_ascii())),
    }
}

fn start(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(32)]
}

/// A server did not open the tunnel; Go's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnexpectedAnswer(String);

impl fmt::Display for UnexpectedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unexpected HTTP response: {}", self.0)
    }
}

impl std::error::Error for UnexpectedAnswer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_arrive_with_connect_are_not_lost() {
        let request = b"CONNECT /_goRPC_ HTTP/1.0\n\n";
        let mut sent = request.to_vec();
        sent.extend_from_slice(b"\x2f\xff\x81");
        assert_eq!(read_request(&sent, DEFAULT_PATH), Request::Connect(request.len()));
        for cut in 0..request.len() {
            assert_eq!(read_request(&request[..cut], DEFAULT_PATH), Request::Undecided, "{cut}");
        }
        let polite = b"CONNECT /_goRPC_ HTTP/1.1\r\nHost: here\r\n\r\n";
        assert_eq!(read_request(polite, DEFAULT_PATH), Request::Connect(polite.len()));
    }

    #[test]
    fn anything_else_is_refused_as_go_refuses_it() {
        let status = |request: &[u8]| match read_request(request, DEFAULT_PATH) {
            Request::Refused(text) => text.lines().next().unwrap().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(status(b"GET /_goRPC_ HTTP/1.1\r\n\r\n"), "HTTP/1.0 405 Method Not Allowed");
        assert_eq!(status(b"CONNECT /nope HTTP/1.0\n\n"), "HTTP/1.0 404 Not Found");
        assert_eq!(status(b"GET\x00 / HTTP/1.1\r\n\r\n"), "HTTP/1.0 400 Bad Request");
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(status(many.as_bytes()), "HTTP/1.0 431 Request Header Fields Too Large");
        let long = format!("GET /{} HTTP/1.1", "x".repeat(MAX_HEAD));
        assert_eq!(status(long.as_bytes()), "HTTP/1.0 431 Request Header Fields Too Large");
        let Request::Refused(text) = read_request(b"GET / HTTP/1.0\n\n", DEFAULT_PATH) else {
            panic!()
        };
        assert!(
            text.ends_with("Content-Length: 17\r\nConnection: close\r\n\r\n405 must CONNECT\n")
        );
    }

    #[test]
    fn a_client_takes_200_and_tells_what_else_it_got() {
        assert_eq!(read_answer(CONNECTED), Some(Ok(CONNECTED.len())));
        assert_eq!(read_answer(&CONNECTED[..CONNECTED.len() - 1]), None);
        let refused = refusal("404 Not Found", "404 page not found");
        let error = read_answer(refused.as_bytes()).unwrap().unwrap_err();
        assert_eq!(error.to_string(), "unexpected HTTP response: 404 Not Found");
        let error = read_answer(b"SSH-2.0-OpenSSH\r\n").unwrap().unwrap_err();
        assert!(error.to_string().contains("SSH-2.0"), "{error}");
    }
}
