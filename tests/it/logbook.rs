//! What the servers of this process log: lines about a bot, and those about a turn in the JSON that operators read, caught as
//! they are written. Tests tell theirs apart by the bot's name, or the request's.

use std::fmt::Debug;
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// One line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub bot: String,
    pub code: String,
    pub text: String,
    pub level: Option<Level>,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// Lines about turns, as JSON.
static TURNS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Book;

/// Takes what the JSON log would write to standard error.
struct Pages;

impl Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        if line.contains(r#""message":"turn""#) {
            TURNS.lock().unwrap().push(line.into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Subscriber> Layer<S> for Book {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Line { level: Some(*event.metadata().level()), ..Line::default() };
        event.record(&mut line);
        if !line.bot.is_empty() {
            LINES.lock().unwrap().push(line);
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "bot" => self.bot = value.to_owned(),
            "code" => self.code = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.text = format!("{value:?}"),
            _ => self.record_str(field, &format!("{value:?}")),
        }
    }
}

/// Catches from now on. Before the server starts, or its first lines are missed.
pub fn open() {
    static OPENED: OnceLock<()> = OnceLock::new();
    OPENED.get_or_init(|| {
        let json = tracing_subscriber::fmt::layer().json().with_writer(|| Pages);
        let all = tracing_subscriber::registry().with(LevelFilter::INFO).with(Book).with(json);
        tracing::subscriber::set_global_default(all).unwrap();
    });
}

/// The lines so far about the bots whose `platform/name` begins so.
pub fn about(bot: &str) -> Vec<Line> {
    LINES.lock().unwrap().iter().filter(|line| line.bot.starts_with(bot)).cloned().collect()
}

/// The lines so far about turns of the request of that name.
pub fn turns(request: &str) -> Vec<String> {
    let named = format!(r#""request_id":"{request}""#);
    TURNS.lock().unwrap().iter().filter(|line| line.contains(&named)).cloned().collect()
}
