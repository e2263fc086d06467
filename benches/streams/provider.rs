//! A provider of OpenAI's dialect that speaks at a steady pace, over plain TCP so that it costs little.
//! Every token says when it was written, so a reader knows how long it was under way.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Characters that say a time: rare ones, which no rule of ours waits at.
const DIGITS: u32 = 0x7c00;
/// Characters of a time in microseconds, six bits each.
const STAMP: u32 = 5;
/// Fills a token up.
const FILL: char = '籔';

/// How it answers.
#[derive(Clone, Copy)]
pub struct Script {
    /// Tokens of an answer.
    pub tokens: usize,
    /// From one token to the next.
    pub gap: Duration,
    /// Characters of a token, at least those of its time.
    pub chars: usize,
    /// Nobody hears anything before so many have asked; 0 waits for nobody.
    pub together: usize,
}

pub struct Provider {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Script>,
    started: Instant,
    asked: watch::Sender<usize>,
    /// When each model was asked last.
    arrivals: Mutex<HashMap<String, Instant>>,
}

impl Provider {
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            started: Instant::now(),
            asked: watch::Sender::default(),
            arrivals: Mutex::default(),
        });
        let kept = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Who asks may leave at any time.
                tokio::spawn(serve(socket, Arc::clone(&kept)));
            }
        });
        Self { address, shared }
    }

    /// From now on it answers like this.
    pub fn plays(&self, script: Script) {
        *self.shared.script.lock().expect("a lock") = script;
        self.shared.asked.send_replace(0);
    }

    /// When this model was asked, once.
    pub fn arrival(&self, model: &str) -> Option<Instant> {
        self.shared.arrivals.lock().expect("a lock").remove(model)
    }

    /// How long the tokens that are whole in `text` were under way; they are taken out of it.
    pub fn under_way(&self, text: &mut String, chars: usize) -> Vec<Duration> {
        let now = self.shared.started.elapsed();
        let mut times = Vec::new();
        while let Some((end, _)) = text.char_indices().nth(chars - 1) {
            let micros = text.chars().take(STAMP as usize).fold(0_u64, |sum, c| sum << 6 | u64::from((c as u32).wrapping_sub(DIGITS) & 63));
            times.push(now.saturating_sub(Duration::from_micros(micros)));
            let after = end + text[end..].chars().next().map_or(0, char::len_utf8);
            text.drain(..after);
        }
        times
    }
}

fn token(now: Duration, chars: usize) -> String {
    let micros = now.as_micros() as u64;
    let stamp = (0..STAMP).rev().filter_map(|place| char::from_u32(DIGITS + (micros >> (6 * place) & 63) as u32));
    stamp.chain(std::iter::repeat(FILL)).take(chars).collect()
}

async fn serve(mut socket: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        let Some(body) = read_request(&mut socket, &mut bytes).await? else { return Ok(()) };
        let arrived = Instant::now();
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        shared.arrivals.lock().expect("a lock").insert(model, arrived);
        let script = *shared.script.lock().expect("a lock");
        shared.asked.send_modify(|asked| *asked += 1);
        let mut asked = shared.asked.subscribe();
        let _ = asked.wait_for(|asked| *asked >= script.together).await;
        answer(&mut socket, &shared, script).await?;
    }
}

async fn answer(socket: &mut TcpStream, shared: &Shared, script: Script) -> std::io::Result<()> {
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    // Spread over one gap, so that they do not all speak in the same moment.
    let later = script.gap.mul_f64(rand::random::<f64>());
    tokio::time::sleep(later).await;
    let mut beat = tokio::time::interval(script.gap);
    for _ in 0..script.tokens {
        beat.tick().await;
        let text = token(shared.started.elapsed(), script.chars);
        let event = format!(
            "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
        );
        socket.write_all(chunk(&event).as_bytes()).await?;
    }
    let end = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\ndata: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":100,\"completion_tokens\":{0},\"total_tokens\":{0}}}}}\n\ndata: [DONE]\n\n",
        script.tokens
    );
    socket.write_all((chunk(&end) + "0\r\n\r\n").as_bytes()).await
}

fn chunk(event: &str) -> String {
    format!("{:x}\r\n{event}\r\n", event.len())
}

/// The body of the next request on this connection; none when it is closed.
async fn read_request(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<Option<Value>> {
    loop {
        if let Some((body, end)) = whole(bytes) {
            let body = serde_json::from_slice(&bytes[body..end]).unwrap_or_default();
            bytes.drain(..end);
            return Ok(Some(body));
        }
        if socket.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// Where the body of a request that is here whole begins and ends.
fn whole(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let lines = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length: usize = lines.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    let end = head + 4 + length;
    (bytes.len() >= end).then_some((head + 4, end))
}
