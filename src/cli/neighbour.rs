//! Who answers at an address: nobody, a merchant-copilot, or some other program. The WebSocket's handshake tells, because
//! nobody else agrees to our subprotocol.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as Failed;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::app;
use crate::error::{Error, Result};
use crate::http;

/// A socket of a merchant-copilot.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long an answer to the handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where it only makes an error clearer.
const GLANCE: Duration = Duration::from_secs(3);

/// Opens a socket.
///
/// # Errors
/// `server_unreachable` where nobody answers or no chat is taken just now, `not_a_copilot` where somebody else answers.
pub async fn open(url: &str) -> Result<Socket> {
    let mut request = url
        .into_client_request()
        .map_err(|error| Error::invalid("bad_url", format!("`{url}` is not a server's address: {error}.")).because(error))?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(http::SUBPROTOCOL));
    let authority = request.uri().authority().map_or(url, |authority| authority.as_str());
    // Whose name and password are before it is nobody's to read.
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place).to_owned();
    let failed = match timeout(PATIENCE, connect_async(request)).await {
        Ok(Ok((socket, _))) => return Ok(socket),
        Ok(Err(failed)) => failed,
        Err(_) => return Err(unreachable(&format!("{place} does not answer. Check the address and the network."))),
    };
    Err(told(&place, &failed).because(failed))
}

/// What a failed handshake says of whoever is there.
fn told(place: &str, failed: &Failed) -> Error {
    match failed {
        Failed::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => unreachable(&format!(
                "Nothing listens at {place} (connection refused). `merchant-copilot serve` starts a server and prints its address; `chat` without --url needs none."
            )),
            // It was there, and hung up.
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => stranger(place, &error.to_string()),
            _ => unreachable(&format!("{place} cannot be reached: {error}. Check the address and the network.")),
        },
        // A copilot that is full, or a proxy whose copilot is away.
        Failed::Http(response) if response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS => {
            unreachable(&format!("{place} takes no chat at the moment (HTTP {}). Try again in a moment.", response.status()))
        }
        Failed::Http(response) => stranger(place, &format!("HTTP {}", response.status())),
        other => stranger(place, &other.to_string()),
    }
}

fn unreachable(message: &str) -> Error {
    Error::unavailable("server_unreachable", message)
}

fn stranger(place: &str, how: &str) -> Error {
    let message =
        format!("Something answers at {place}, but it opens no chat ({how}). Give the address that `merchant-copilot serve` has printed.");
    Error::unavailable("not_a_copilot", message)
}

/// Takes an address to listen on.
///
/// # Errors
/// Those of [`app::listen`]; of an address in use it says whether a merchant-copilot has it.
pub async fn listen(address: &str) -> Result<TcpListener> {
    match app::listen(address).await {
        Err(error) if error.code() == app::ADDRESS_IN_USE => {
            let near = near(address);
            let Ok(Ok(mut socket)) = timeout(GLANCE, open(&format!("ws://{near}/ws"))).await else { return Err(error) };
            // It is only asked who it is.
            let _ = timeout(GLANCE, socket.close(None)).await;
            let ours = format!("another merchant-copilot. Go on with that one at http://{near}/ (commands find it by its --data-dir)");
            Err(app::address_in_use(address, &ours).because(error))
        }
        outcome => outcome,
    }
}

/// The address as somebody on this machine calls it.
fn near(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(all) if all.ip().is_unspecified() => format!("127.0.0.1:{}", all.port()),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;

    /// Answers one request with these bytes.
    async fn answers(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut peer, _) = listener.accept().await.unwrap();
            let _ = peer.read(&mut [0; 4096]).await;
            let _ = peer.write_all(bytes).await;
        });
        place
    }

    #[tokio::test]
    async fn whoever_does_not_listen_or_is_somebody_else_is_told_apart() {
        // Bound and not listening, so that no other test gets the port.
        let held = TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let place = held.local_addr().unwrap().to_string();
        let nobody = open(&format!("ws://{place}/ws")).await.unwrap_err();
        assert_eq!(nobody.code(), "server_unreachable");
        assert!(nobody.message().starts_with(&format!("Nothing listens at {place} ")) && nobody.message().contains("serve"), "{nobody}");

        for (bytes, code, how) in [
            (&b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..], "not_a_copilot", "HTTP 404"),
            (&b"SSH-2.0-OpenSSH_9\r\n"[..], "not_a_copilot", "HTTP version"),
            (
                &b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"[..],
                "server_unreachable",
                "no chat at the moment (HTTP 503",
            ),
            (&b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"[..], "server_unreachable", "no chat at the moment (HTTP 429"),
        ] {
            let place = answers(bytes).await;
            let other = open(&format!("ws://keeper:hush@{place}/ws")).await.unwrap_err();
            let said = other.message();
            assert!(other.code() == code && said.contains(&place) && said.contains(how), "{other}");
            assert!(!said.contains("keeper") && !said.contains("hush"), "{other}");
        }
    }

    #[test]
    fn an_address_of_all_interfaces_is_called_on_this_machine() {
        assert_eq!([near("0.0.0.0:8787"), near("192.0.2.1:8787")], ["127.0.0.1:8787", "192.0.2.1:8787"]);
    }
}
