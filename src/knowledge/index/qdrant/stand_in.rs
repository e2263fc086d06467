//! A Qdrant server for tests, in this process, on the library's own wire: it keeps points and answers exactly
//! what the real one's documentation says of the calls that are made here, and nothing else. What it cannot
//! show is the real server's own behaviour; `TEST_QDRANT_URL` is for that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qdrant_client::qdrant as q;
use qdrant_client::qdrant::collections_server::{Collections, CollectionsServer};
use qdrant_client::qdrant::condition::ConditionOneOf;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use qdrant_client::qdrant::points_server::{Points, PointsServer};
use qdrant_client::qdrant::points_update_operation::Operation;
use qdrant_client::qdrant::qdrant_server::{Qdrant, QdrantServer};
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::vectors::VectorsOptions;
use tonic::{Request, Response, Status};

/// The key it wants.
pub const KEY: &str = "the-key-of-the-stand-in";

/// A running server; it ends with the test's runtime.
#[derive(Clone, Default)]
pub struct StandIn(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    collections: HashMap<String, Collection>,
    /// The calls of points, in order; of a batch how many were in it.
    calls: Vec<(&'static str, usize)>,
    /// So many calls fail first.
    failing: usize,
}

#[derive(Default)]
struct Collection {
    made: q::CreateCollection,
    indexed: HashMap<String, q::PayloadSchemaInfo>,
    points: BTreeMap<String, q::PointStruct>,
}

impl StandIn {
    /// Starts one; gives its address.
    pub async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stand_in = Self::default();
        let server = tonic::transport::Server::builder()
            .add_service(PointsServer::new(stand_in.clone()))
            .add_service(CollectionsServer::new(stand_in.clone()))
            .add_service(QdrantServer::new(stand_in.clone()));
        tokio::spawn(server.serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)));
        (stand_in, format!("http://{address}"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls since the last look.
    pub fn calls(&self) -> Vec<(&'static str, usize)> {
        std::mem::take(&mut self.state().calls)
    }

    /// Lets the next calls fail as if a node went away.
    pub fn fail(&self, calls: usize) {
        self.state().failing = calls;
    }

    /// How many points there are in all collections.
    pub fn len(&self) -> usize {
        self.state().collections.values().map(|collection| collection.points.len()).sum()
    }

    /// Loses everything.
    pub fn lose(&self) {
        self.state().collections.clear();
    }

    /// The only collection: how it was made, and what of its payload is indexed.
    pub fn made(&self) -> (q::CreateCollection, HashMap<String, q::PayloadSchemaInfo>) {
        let state = self.state();
        let only = state.collections.values().next().unwrap();
        (only.made.clone(), only.indexed.clone())
    }

    /// Makes one as somebody else might have.
    pub fn put(&self, made: q::CreateCollection) {
        let name = made.collection_name.clone();
        self.state().collections.insert(name, Collection { made, ..Collection::default() });
    }

    fn enter<T>(&self, request: &Request<T>) -> Result<MutexGuard<'_, State>, Status> {
        let mut state = self.state();
        if state.failing > 0 {
            state.failing -= 1;
            return Err(Status::unavailable("the node went away"));
        }
        match request.metadata().get("api-key").and_then(|key| key.to_str().ok()) {
            Some(KEY) => Ok(state),
            _ => Err(Status::unauthenticated("Invalid API key or JWT")),
        }
    }
}

impl State {
    fn of(&mut self, name: &str) -> Result<&mut Collection, Status> {
        self.collections.get_mut(name).ok_or_else(|| Status::not_found(format!("Collection `{name}` doesn't exist!")))
    }

    fn get(&mut self, ask: q::GetPoints) -> Result<q::GetResponse, Status> {
        let collection = self.of(&ask.collection_name)?;
        let found = ask.ids.iter().filter_map(|id| collection.points.get(&name_of(id)));
        let result = found.map(|point| q::RetrievedPoint { id: point.id.clone(), payload: point.payload.clone(), ..Default::default() });
        Ok(q::GetResponse { result: result.collect(), ..Default::default() })
    }

    fn count(&mut self, ask: q::CountPoints) -> Result<q::CountResponse, Status> {
        let collection = self.of(&ask.collection_name)?;
        let count = collection.points.values().filter(|point| passes(point, ask.filter.as_ref())).count() as u64;
        Ok(q::CountResponse { result: Some(q::CountResult { count }), ..Default::default() })
    }

    fn update_batch(&mut self, ask: q::UpdateBatchPoints) -> Result<q::UpdateBatchResponse, Status> {
        let done = q::UpdateResult { operation_id: Some(0), status: q::UpdateStatus::Completed.into() };
        let collection = self.of(&ask.collection_name)?;
        let mut result = Vec::new();
        for operation in ask.operations {
            match operation.operation {
                Some(Operation::Upsert(list)) => collection.upsert(list)?,
                Some(Operation::DeletePoints(delete)) => match delete.points.and_then(|points| points.points_selector_one_of) {
                    Some(PointsSelectorOneOf::Filter(filter)) => collection.points.retain(|_, point| !passes(point, Some(&filter))),
                    other => return Err(Status::unimplemented(format!("{other:?}"))),
                },
                other => return Err(Status::unimplemented(format!("{other:?}"))),
            }
            result.push(done);
        }
        Ok(q::UpdateBatchResponse { result, ..Default::default() })
    }

    fn query_batch(&mut self, ask: q::QueryBatchPoints) -> Result<q::QueryBatchResponse, Status> {
        let collection = self.of(&ask.collection_name)?;
        let answers = ask.query_points.iter().map(|query| Ok(q::BatchResult { result: collection.query(query)? }));
        Ok(q::QueryBatchResponse { result: answers.collect::<Result<_, Status>>()?, ..Default::default() })
    }

    fn create_field_index(&mut self, ask: q::CreateFieldIndexCollection) -> Result<q::PointsOperationResponse, Status> {
        let info = q::PayloadSchemaInfo { data_type: ask.field_type() as i32, params: ask.field_index_params, points: None };
        self.of(&ask.collection_name)?.indexed.insert(ask.field_name, info);
        Ok(q::PointsOperationResponse::default())
    }
}

impl State {
    fn info(&mut self, ask: q::GetCollectionInfoRequest) -> Result<q::GetCollectionInfoResponse, Status> {
        let collection = self.of(&ask.collection_name)?;
        let params = q::CollectionParams {
            vectors_config: collection.made.vectors_config.clone(),
            sparse_vectors_config: collection.made.sparse_vectors_config.clone(),
            ..Default::default()
        };
        let config = q::CollectionConfig { params: Some(params), ..Default::default() };
        let info = q::CollectionInfo { config: Some(config), payload_schema: collection.indexed.clone(), ..Default::default() };
        Ok(q::GetCollectionInfoResponse { result: Some(info), time: 0.0 })
    }

    fn create(&mut self, made: q::CreateCollection) -> Result<q::CollectionOperationResponse, Status> {
        let name = made.collection_name.clone();
        if self.collections.contains_key(&name) {
            return Err(Status::already_exists(format!("Wrong input: Collection `{name}` already exists!")));
        }
        self.collections.insert(name, Collection { made, ..Collection::default() });
        Ok(q::CollectionOperationResponse { result: true, time: 0.0 })
    }

    fn delete(&mut self, ask: q::DeleteCollection) -> Result<q::CollectionOperationResponse, Status> {
        Ok(q::CollectionOperationResponse { result: self.collections.remove(&ask.collection_name).is_some(), time: 0.0 })
    }

    fn exists(&mut self, ask: q::CollectionExistsRequest) -> Result<q::CollectionExistsResponse, Status> {
        let exists = self.collections.contains_key(&ask.collection_name);
        Ok(q::CollectionExistsResponse { result: Some(q::CollectionExists { exists }), time: 0.0 })
    }
}

impl Collection {
    fn dense_size(&self) -> Option<u64> {
        match self.made.vectors_config.as_ref()?.config.as_ref()? {
            q::vectors_config::Config::ParamsMap(map) => map.map.get("dense").map(|params| params.size),
            q::vectors_config::Config::Params(_) => None,
        }
    }

    fn fits(&self, dense: &[f32]) -> Result<(), Status> {
        match self.dense_size() {
            Some(size) if size == dense.len() as u64 => Ok(()),
            size => Err(Status::invalid_argument(format!("Vector dimension error: expected dim: {size:?}, got {}", dense.len()))),
        }
    }

    fn upsert(&mut self, list: q::points_update_operation::PointStructList) -> Result<(), Status> {
        let mode = list.update_mode();
        for mut point in list.points {
            let options = point.vectors.as_mut().and_then(|vectors| vectors.vectors_options.as_mut());
            let Some(VectorsOptions::Vectors(named)) = options else { return Err(Status::invalid_argument("Expected some vectors")) };
            for vector in named.vectors.values_mut() {
                if let Some(q::vector::Vector::Dense(dense)) = &mut vector.vector {
                    self.fits(&dense.data)?;
                    // Cosine: the real server keeps them at unit length too.
                    let length = dense.data.iter().map(|x| x * x).sum::<f32>().sqrt();
                    dense.data.iter_mut().for_each(|x| *x /= length);
                }
            }
            let id = name_of(point.id.as_ref().ok_or_else(|| Status::invalid_argument("no id"))?);
            let write = match (mode, self.points.get(&id)) {
                (q::UpdateMode::InsertOnly, Some(_)) | (q::UpdateMode::UpdateOnly, None) => false,
                (_, Some(there)) => passes(there, list.update_filter.as_ref()),
                (_, None) => true,
            };
            if write {
                self.points.insert(id, point);
            }
        }
        Ok(())
    }

    fn query(&self, ask: &q::QueryPoints) -> Result<Vec<q::ScoredPoint>, Status> {
        let nearest = match ask.query.as_ref().and_then(|query| query.variant.as_ref()) {
            Some(q::query::Variant::Nearest(input)) => input.variant.as_ref(),
            _ => None,
        };
        let name = ask.using.as_deref().unwrap_or_default();
        let there = self.points.values().filter(|point| passes(point, ask.filter.as_ref()));
        let mut scored: Vec<(f32, &q::PointStruct)> = match nearest {
            Some(q::vector_input::Variant::Dense(asked)) => {
                self.fits(&asked.data)?;
                let length = asked.data.iter().map(|x| x * x).sum::<f32>().sqrt();
                let dot = |data: &[f32]| data.iter().zip(&asked.data).map(|(x, y)| x * y).sum::<f32>() / length;
                there.filter_map(|point| Some((dot(&dense(point, name)?), point))).collect()
            }
            Some(q::vector_input::Variant::Sparse(asked)) => {
                let corpus = ask.params.as_ref().and_then(|params| params.idf.as_ref()).and_then(|idf| idf.corpus.as_ref());
                let texts: Vec<HashSet<u32>> = self
                    .points
                    .values()
                    .filter(|point| passes(point, corpus))
                    .filter_map(|point| Some(sparse(point, name)?.into_keys().collect()))
                    .collect();
                let all = texts.len() as f32;
                let idf = |index: &u32| {
                    let with = texts.iter().filter(|text| text.contains(index)).count() as f32;
                    (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
                };
                let weights: Vec<(u32, f32)> =
                    asked.indices.iter().zip(&asked.values).map(|(index, value)| (*index, value * idf(index))).collect();
                let score = |text: &HashMap<u32, f32>| -> Option<f32> {
                    let both: Vec<f32> = weights.iter().filter_map(|(index, weight)| Some(weight * text.get(index)?)).collect();
                    (!both.is_empty()).then(|| both.iter().sum())
                };
                there.filter_map(|point| Some((score(&sparse(point, name)?)?, point))).collect()
            }
            other => return Err(Status::unimplemented(format!("{other:?}"))),
        };
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.truncate(usize::try_from(ask.limit.unwrap_or(10)).unwrap());
        Ok(scored.into_iter().map(|(score, point)| told(ask, score, point)).collect())
    }
}

fn told(ask: &q::QueryPoints, score: f32, point: &q::PointStruct) -> q::ScoredPoint {
    let vectors = ask.with_vectors.as_ref().map(|_| {
        let named = named(point).into_iter().flat_map(|named| &named.vectors);
        let out = named.map(|(name, vector)| {
            let told = match vector.vector.clone() {
                Some(q::vector::Vector::Dense(dense)) => q::vector_output::Vector::Dense(dense),
                Some(q::vector::Vector::Sparse(sparse)) => q::vector_output::Vector::Sparse(sparse),
                other => unreachable!("{other:?}"),
            };
            (name.clone(), q::VectorOutput { vector: Some(told), ..Default::default() })
        });
        let named = q::NamedVectorsOutput { vectors: out.collect() };
        q::VectorsOutput { vectors_options: Some(q::vectors_output::VectorsOptions::Vectors(named)) }
    });
    q::ScoredPoint { id: point.id.clone(), payload: point.payload.clone(), score, vectors, ..Default::default() }
}

fn named(point: &q::PointStruct) -> Option<&q::NamedVectors> {
    match point.vectors.as_ref()?.vectors_options.as_ref()? {
        VectorsOptions::Vectors(named) => Some(named),
        VectorsOptions::Vector(_) => None,
    }
}

fn dense(point: &q::PointStruct, name: &str) -> Option<Vec<f32>> {
    match named(point)?.vectors.get(name)?.vector.as_ref()? {
        q::vector::Vector::Dense(dense) => Some(dense.data.clone()),
        _ => None,
    }
}

fn sparse(point: &q::PointStruct, name: &str) -> Option<HashMap<u32, f32>> {
    match named(point)?.vectors.get(name)?.vector.as_ref()? {
        q::vector::Vector::Sparse(sparse) => Some(sparse.indices.iter().copied().zip(sparse.values.iter().copied()).collect()),
        _ => None,
    }
}

fn name_of(id: &q::PointId) -> String {
    format!("{:?}", id.point_id_options)
}

fn passes(point: &q::PointStruct, filter: Option<&q::Filter>) -> bool {
    let Some(filter) = filter else { return true };
    assert!(filter.should.is_empty() && filter.min_should.is_none(), "not made here");
    filter.must.iter().all(|condition| holds(point, condition)) && !filter.must_not.iter().any(|condition| holds(point, condition))
}

fn holds(point: &q::PointStruct, condition: &q::Condition) -> bool {
    match condition.condition_one_of.as_ref().unwrap() {
        ConditionOneOf::HasId(ids) => ids.has_id.iter().any(|id| Some(id) == point.id.as_ref()),
        ConditionOneOf::Field(field) => {
            let Some(kind) = point.payload.get(&field.key).and_then(|value| value.kind.as_ref()) else { return false };
            let matched =
                field.r#match.as_ref().and_then(|matched| matched.match_value.as_ref()).is_none_or(|wanted| match (wanted, kind) {
                    (MatchValue::Keyword(wanted), Kind::StringValue(text)) => wanted == text,
                    (MatchValue::Keywords(wanted), Kind::StringValue(text)) => wanted.strings.contains(text),
                    (MatchValue::Integer(wanted), Kind::IntegerValue(number)) => wanted == number,
                    other => panic!("not made here: {other:?}"),
                });
            let within = field.range.is_none_or(|range| match kind {
                Kind::IntegerValue(number) => {
                    let number = *number as f64;
                    range.gt.is_none_or(|than| number > than) && range.lte.is_none_or(|than| number <= than)
                }
                _ => false,
            });
            matched && within
        }
        other => panic!("not made here: {other:?}"),
    }
}

/// The calls that are made here, each with what answers it and how much is in it, and the rest.
macro_rules! serve {
    ($service:ident made { $($made:ident($ask:ident) -> $answer:ident, $how:path, $size:expr;)* } not { $($other:ident($asked:ident) -> $answered:ident;)* }) => {
        #[tonic::async_trait]
        impl $service for StandIn {
            $(async fn $made(&self, request: Request<q::$ask>) -> Result<Response<q::$answer>, Status> {
                let mut state = self.enter(&request)?;
                let ask = request.into_inner();
                let size: fn(&q::$ask) -> usize = $size;
                state.calls.push((stringify!($made), size(&ask)));
                $how(&mut state, ask).map(Response::new)
            })*
            $(async fn $other(&self, _: Request<q::$asked>) -> Result<Response<q::$answered>, Status> {
                Err(Status::unimplemented(stringify!($other)))
            })*
        }
    };
}

serve! {
    Points
    made {
        get(GetPoints) -> GetResponse, State::get, |_| 1;
        count(CountPoints) -> CountResponse, State::count, |_| 1;
        update_batch(UpdateBatchPoints) -> UpdateBatchResponse, State::update_batch, |ask| ask.operations.len();
        query_batch(QueryBatchPoints) -> QueryBatchResponse, State::query_batch, |ask| ask.query_points.len();
        create_field_index(CreateFieldIndexCollection) -> PointsOperationResponse, State::create_field_index, |_| 1;
    }
    not {
        upsert(UpsertPoints) -> PointsOperationResponse;
        delete(DeletePoints) -> PointsOperationResponse;
        update_vectors(UpdatePointVectors) -> PointsOperationResponse;
        delete_vectors(DeletePointVectors) -> PointsOperationResponse;
        set_payload(SetPayloadPoints) -> PointsOperationResponse;
        overwrite_payload(SetPayloadPoints) -> PointsOperationResponse;
        delete_payload(DeletePayloadPoints) -> PointsOperationResponse;
        clear_payload(ClearPayloadPoints) -> PointsOperationResponse;
        delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse;
        create_vector_name(CreateVectorNameRequest) -> PointsOperationResponse;
        delete_vector_name(DeleteVectorNameRequest) -> PointsOperationResponse;
        search(SearchPoints) -> SearchResponse;
        search_batch(SearchBatchPoints) -> SearchBatchResponse;
        search_groups(SearchPointGroups) -> SearchGroupsResponse;
        scroll(ScrollPoints) -> ScrollResponse;
        recommend(RecommendPoints) -> RecommendResponse;
        recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse;
        recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse;
        discover(DiscoverPoints) -> DiscoverResponse;
        discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse;
        query(QueryPoints) -> QueryResponse;
        query_groups(QueryPointGroups) -> QueryGroupsResponse;
        facet(FacetCounts) -> FacetResponse;
        search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse;
        search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse;
    }
}

serve! {
    Collections
    made {
        get(GetCollectionInfoRequest) -> GetCollectionInfoResponse, State::info, |_| 1;
        create(CreateCollection) -> CollectionOperationResponse, State::create, |_| 1;
        delete(DeleteCollection) -> CollectionOperationResponse, State::delete, |_| 1;
        collection_exists(CollectionExistsRequest) -> CollectionExistsResponse, State::exists, |_| 1;
    }
    not {
        list(ListCollectionsRequest) -> ListCollectionsResponse;
        update(UpdateCollection) -> CollectionOperationResponse;
        update_aliases(ChangeAliases) -> CollectionOperationResponse;
        list_collection_aliases(ListCollectionAliasesRequest) -> ListAliasesResponse;
        list_aliases(ListAliasesRequest) -> ListAliasesResponse;
        collection_cluster_info(CollectionClusterInfoRequest) -> CollectionClusterInfoResponse;
        update_collection_cluster_setup(UpdateCollectionClusterSetupRequest) -> UpdateCollectionClusterSetupResponse;
        create_shard_key(CreateShardKeyRequest) -> CreateShardKeyResponse;
        delete_shard_key(DeleteShardKeyRequest) -> DeleteShardKeyResponse;
        list_shard_keys(ListShardKeysRequest) -> ListShardKeysResponse;
    }
}

#[tonic::async_trait]
impl Qdrant for StandIn {
    async fn health_check(&self, _: Request<q::HealthCheckRequest>) -> Result<Response<q::HealthCheckReply>, Status> {
        Ok(Response::new(q::HealthCheckReply { title: "stand-in".into(), version: "0.0.0-stand-in".into(), commit: None }))
    }
}
