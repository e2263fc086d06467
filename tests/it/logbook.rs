//! What the servers of this process log about a bot: lines that name one, caught as they are written. Tests tell theirs
//! apart by the bot's name.

use std::fmt::Debug;
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

struct Book;

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
        let all = tracing_subscriber::registry().with(LevelFilter::INFO).with(Book);
        tracing::subscriber::set_global_default(all).unwrap();
    });
}

/// The lines so far about the bots whose `platform/name` begins so.
pub fn about(bot: &str) -> Vec<Line> {
    LINES.lock().unwrap().iter().filter(|line| line.bot.starts_with(bot)).cloned().collect()
}
