//! The fuzzing corpora as an ordinary test: the readers of files and the parser of frames get every seed
//! whole and in seeded mutations, and neither panic nor hang. `fuzz/` has the targets for cargo-fuzz.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use merchant_copilot::knowledge::read::Format;

#[path = "../../fuzz/harness.rs"]
mod harness;

/// Mutations of each seed. Small seeds are quick; the others are read whole only.
const MUTATIONS: u64 = 60;
const SMALL: usize = 8 * 1024;
/// The longest that one input may take in a debug build.
const SLOW: Duration = Duration::from_secs(20);

/// xorshift: the same in every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (below.max(1) as u64)).unwrap()
    }
}

/// A few changes of the kinds that break parsers.
fn mutated(seed: &[u8], chance: &mut Seeded) -> Vec<u8> {
    const SPITE: [&[u8]; 8] = [b"\"", b"\r\n", b"\xff\xfe", b"\0", b"<", b"{\"", b",,;\t|", "。\u{202e}\u{feff}".as_bytes()];
    let mut data = seed.to_vec();
    for _ in 0..=chance.next(4) {
        let at = chance.next(data.len() + 1);
        match chance.next(5) {
            0 => data.truncate(at),
            1 if at < data.len() => data[at] ^= 1 << chance.next(8),
            2 => insert(&mut data, at, SPITE[chance.next(SPITE.len())]),
            3 => {
                let piece = data[at..(at + chance.next(64)).min(data.len())].to_vec();
                let to = chance.next(data.len() + 1);
                insert(&mut data, to, &piece);
            }
            _ => {
                let end = (at + chance.next(32)).min(data.len());
                data.drain(at..end);
            }
        }
    }
    data
}

fn insert(data: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let rest = data.split_off(at);
    data.extend_from_slice(piece);
    data.extend(rest);
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(folders: &[&str], endings: &[&str], run: impl Fn(&[u8])) -> u64 {
    let mut inputs = 0;
    let timed = |name: &Path, data: &[u8]| {
        let started = Instant::now();
        run(data);
        assert!(started.elapsed() < SLOW, "{} took {:?}", name.display(), started.elapsed());
    };
    for path in folders.iter().flat_map(|folder| files(folder)) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !endings.iter().any(|ending| name.trim_end_matches(".gz").ends_with(ending)) {
            continue;
        }
        let seed = std::fs::read(&path).unwrap();
        timed(&path, &seed);
        inputs += 1;
        let mut chance = Seeded(0x9e37_79b9_7f4a_7c15 ^ seed.len() as u64);
        for _ in 0..if seed.len() <= SMALL { MUTATIONS } else { 0 } {
            timed(&path, &mutated(&seed, &mut chance));
            inputs += 1;
        }
    }
    inputs
}

#[test]
fn readers_survive_what_fuzzing_brings() {
    let read = |format: Format| move |data: &[u8]| harness::read(format, data);
    let formats: [(Format, &str, &[&str]); 7] = [
        (Format::Csv, "fuzz/corpus/csv", &[".csv", ".tsv"]),
        (Format::Jsonl, "fuzz/corpus/jsonl", &[".jsonl"]),
        (Format::Markdown, "fuzz/corpus/markdown", &[".md"]),
        (Format::Html, "fuzz/corpus/html", &[".html"]),
        (Format::Xlsx, "fuzz/corpus/xlsx", &[".xlsx", ".parts"]),
        (Format::Docx, "fuzz/corpus/docx", &[".docx", ".parts"]),
        (Format::Pdf, "fuzz/corpus/pdf", &[".pdf"]),
    ];
    let inputs: u64 = formats.into_iter().map(|(format, corpus, endings)| replay(&[corpus, "tests/it/files"], endings, read(format))).sum();
    assert!(inputs > 1_000, "{inputs}");
}

#[test]
fn frames_survive_what_fuzzing_brings() {
    assert!(replay(&["fuzz/corpus/frames"], &[".json"], harness::frame) > 100);
}
