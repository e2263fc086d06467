//! The rows that are imported: short questions of the starter pack, asked for many invented shops, with the first
//! sentence of the pack's answer. The same seed gives the same rows.

use std::io::BufWriter;
use std::path::Path;

use merchant_copilot::knowledge::evaluate::read_labelled;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Row `n` is for market `n % 20`, so that one in twenty passes a filter.
pub const MARKETS: [&str; 20] =
    ["CN", "SG", "MY", "TH", "VN", "PH", "ID", "JP", "KR", "US", "CA", "MX", "BR", "GB", "DE", "FR", "ES", "IT", "PL", "AU"];
const CITIES: [&str; 30] = [
    "深圳", "广州", "杭州", "义乌", "上海", "北京", "苏州", "宁波", "厦门", "泉州", "福州", "青岛", "济南", "天津", "郑州", "武汉", "长沙",
    "成都", "重庆", "西安", "昆明", "南宁", "海口", "南昌", "合肥", "南京", "无锡", "温州", "佛山", "东莞",
];
const GOODS: [&str; 30] = [
    "女装",
    "男装",
    "童装",
    "鞋靴",
    "箱包",
    "美妆",
    "护肤",
    "零食",
    "茶叶",
    "生鲜",
    "母婴",
    "玩具",
    "图书",
    "文具",
    "家纺",
    "家具",
    "灯具",
    "厨具",
    "小家电",
    "手机",
    "电脑",
    "数码配件",
    "汽车用品",
    "户外",
    "健身",
    "宠物",
    "珠宝",
    "手表",
    "眼镜",
    "乐器",
];
/// Longer questions and answers are left out, in characters.
const SHORT_QUESTION: usize = 24;
const SHORT_ANSWER: usize = 60;
const SEED: u64 = 20_261_127;

/// A pack's phrasing with its row's first sentence.
struct Short {
    question: String,
    answer: String,
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("knowledge")
}

fn pack() -> Vec<Short> {
    let mut reader = csv::Reader::from_path(folder().join("starter/merchant_qa.zh.csv")).expect("the pack");
    let heads = reader.headers().expect("its heads").clone();
    let at = |name: &str| heads.iter().position(|head| head == name).expect("a column");
    let (question, answer, similar) = (at("标准问题"), at("答案"), at("相似问题"));
    let mut pack = Vec::new();
    for row in reader.records() {
        let row = row.expect("a row");
        let first: String = row[answer].split_inclusive(['。', '；']).next().unwrap_or_default().chars().take(SHORT_ANSWER).collect();
        let phrasings = std::iter::once(&row[question]).chain(row[similar].split("##"));
        let short = phrasings.filter(|phrasing| (4..=SHORT_QUESTION).contains(&phrasing.chars().count()));
        pack.extend(short.map(|phrasing| Short { question: phrasing.to_owned(), answer: first.clone() }));
    }
    pack
}

/// Writes so many rows; one in `every` says something else than it does for `None`.
pub fn write(file: &Path, count: usize, every: Option<usize>) {
    let (pack, shops) = (pack(), CITIES.len() * GOODS.len());
    assert!(count <= pack.len() * shops, "{count} rows are wanted, and there are {} short phrasings for {shops} shops", pack.len());
    let mut order: Vec<usize> = (0..pack.len() * count.div_ceil(pack.len())).collect();
    order.shuffle(&mut StdRng::seed_from_u64(SEED));
    let mut days = StdRng::seed_from_u64(SEED + 1);
    let mut out = csv::Writer::from_writer(BufWriter::new(std::fs::File::create(file).expect("a file")));
    out.write_record(["编号", "标准问题", "答案", "站点"]).expect("written");
    for (n, place) in order.into_iter().take(count).enumerate() {
        let Short { question, answer } = &pack[place % pack.len()];
        // The same phrasing is asked for one shop after the other, in an order of its own.
        let shop = (place / pack.len() + place * 7) % shops;
        let (city, goods) = (CITIES[shop % CITIES.len()], GOODS[shop / CITIES.len()]);
        let days = days.random_range(1..=30) + usize::from(every.is_some_and(|every| n % every == 0)) * 40;
        let market = MARKETS[n % MARKETS.len()];
        let row = [format!("row-{n}"), format!("{city}{goods}店：{question}"), format!("{answer}{days} 天内处理。"), market.to_owned()];
        out.write_record(&row).expect("written");
    }
    out.flush().expect("written");
}

/// The labelled questions of the pack and of every day, as people ask them.
pub fn questions(most: usize) -> Vec<String> {
    let read = |name: &str| read_labelled(&std::fs::read_to_string(folder().join("eval").join(name)).expect("the questions"));
    let all = ["starter.jsonl", "everyday.jsonl"].into_iter().flat_map(|name| read(name).expect("labelled questions"));
    let mut all: Vec<String> = all.map(|labelled| labelled.query).collect();
    all.shuffle(&mut StdRng::seed_from_u64(SEED));
    all.truncate(most);
    all
}
