import AuditLog
import Codec
import Cryptography
import HTTP
import ModelPackage
import Models
import Tabular
import Telemetry
import Testing

@testable import Serving

@Suite struct PredictTests {
    @Test func oneRowIsScoredByTheLiveVersion() throws {
        let node = try TestNode()
        let package = try node.deploy()
        let response = node.predict(#"{"row":\#(TestModel.goodRow)}"#)
        #expect(response.status == 200)
        #expect(response.value["model"] == "heart" && response.value["version"] == 1)
        #expect(response.value["digest"]?.stringValue == package.digest.hex)
        let row = try #require(response.rows.first)
        let expected = try Predictor(package.parameters, family: package.family)
            .logOdds(
                package.preprocessor.transform(
                    try TestModel.schema.validate(named: [
                        "age": .number(63), "chol": .number(233.5), "sex": .text("male"),
                        "cp": .text("typical"),
                    ])))
        let score = try #require(row["score"]?.doubleValue)
        #expect(abs(score - Double(expected)) < 1e-6)
        let probability = try #require(row["probability"]?.doubleValue)
        #expect(abs(probability - 1 / (1 + exponential(-score))) < 1e-12)
        #expect(row["positive"]?.boolValue == (probability >= 0.5))
        #expect(row["class"]?.stringValue == (probability >= 0.5 ? "present" : "absent"))
        #expect(PredictionID(try #require(row["id"]?.stringValue)) != nil)
        #expect(row["flags"] == [] && row["explanation"] == nil)
    }

    private func exponential(_ x: Double) -> Double {
        var (term, sum) = (1.0, 1.0)
        for n in 1..<80 {
            term *= x / Double(n)
            sum += term
        }
        return sum
    }

    @Test func rowsKeepTheirOrderAndBadOnesDoNotStopGoodOnes() throws {
        let node = try TestNode()
        try node.deploy()
        let response = node.predict(
            #"{"rows":[\#(TestModel.goodRow),{"age":300,"sex":"male","cp":"x"},\#(TestModel.goodRow),7]}"#
        )
        #expect(response.status == 200 && response.rows.count == 4)
        #expect(response.rows.map { $0["row"]?.intValue } == [0, 1, 2, 3])
        #expect(
            response.rows[0]["score"] == response.rows[2]["score"]
                && response.rows[0]["id"] != response.rows[2]["id"])
        let rules = response.rows[1]["violations"]?.arrayValue?.map {
            [$0["feature"]?.stringValue, $0["rule"]?.stringValue]
        }
        #expect(rules == [["age", "out-of-range"], ["cp", "unseen-category"]])
        #expect(response.rows[3]["violations"] != nil)
        #expect(node.log.entries(.prediction).map { $0.details["rows"] } == [2])
    }

    /// One bad row alone: 422, nothing is logged, and the rule is the one that was broken.
    @Test(arguments: [
        (#"{"age":121,"chol":200,"sex":"male","cp":"none"}"#, "age", "out-of-range"),
        (#"{"age":-1,"chol":200,"sex":"male","cp":"none"}"#, "age", "out-of-range"),
        (#"{"age":63.5,"chol":200,"sex":"male","cp":"none"}"#, "age", "not-whole"),
        (#"{"age":"63","chol":200,"sex":"male","cp":"none"}"#, "age", "wrong-type"),
        (#"{"age":true,"chol":200,"sex":"male","cp":"none"}"#, "age", "wrong-type"),
        (#"{"age":[63],"chol":200,"sex":"male","cp":"none"}"#, "age", "wrong-type"),
        (#"{"age":{"a":{}},"chol":200,"sex":"male","cp":"none"}"#, "age", "wrong-type"),
        (#"{"age":null,"chol":200,"sex":"male","cp":"none"}"#, "age", "missing"),
        (#"{"chol":200,"sex":"male","cp":"none"}"#, "age", "missing"),
        (#"{}"#, "age", "missing"),
        (#"{"age":63,"chol":200,"sex":"other","cp":"none"}"#, "sex", "unseen-category"),
        (#"{"age":63,"chol":200,"sex":2,"cp":"none"}"#, "sex", "unseen-category"),
        (#"{"age":63,"chol":200,"sex":"male","cp":"new"}"#, "cp", "unseen-category"),
        (#"{"age":63,"chol":200,"sex":"male","cp":true}"#, "cp", "wrong-type"),
        (#"{"age":63,"age":63,"chol":200,"sex":"male","cp":"none"}"#, "age", "given-twice"),
        (#"{"age":63,"chol":1e300,"sex":"male","cp":"none"}"#, "chol", "out-of-range"),
    ]) func badRowIsRefusedWithFeatureAndRule(_ row: String, _ feature: String, _ rule: String)
        throws
    {
        let node = try TestNode()
        try node.deploy()
        for body in [#"{"row":\#(row)}"#, #"{"rows":[\#(row)]}"#] {
            let response = node.predict(body)
            #expect(response.status == 422)
            #expect(response.value["error"]?.stringValue?.isEmpty == false)
            let violations = response.rows.first?["violations"]?.arrayValue ?? []
            #expect(
                violations.contains {
                    $0["feature"]?.stringValue == feature && $0["rule"]?.stringValue == rule
                }, "\(response.string)")
        }
        #expect(node.log.entries(.prediction).isEmpty)
    }

    @Test func anUnknownFeatureIsToldByItsPlaceNotItsName() throws {
        let node = try TestNode()
        try node.deploy()
        let response = node.predict(
            #"{"row":{"age":63,"MRN-4711":1,"chol":200,"sex":"male","cp":"none"}}"#)
        #expect(response.status == 422)
        let violation = try #require(response.rows.first?["violations"]?.arrayValue?.first)
        #expect(violation["rule"] == "unknown-feature" && violation["member"] == 2)
        #expect(!response.string.contains("4711"))
    }

    /// Bodies that are no request at all.
    @Test(arguments: [
        "", " ", "{", "null", "[]", "7", #""text""#, "{}", #"{"row":}"#, #"{"row":{"age":NaN}}"#,
        #"{"row":{"age":Infinity}}"#, #"{"row":{"age":-Infinity}}"#,
        #"{"row":{"age":1e400}}"#, #"{"row":{"age":01}}"#, #"{"row":{"age":+1}}"#,
        #"{"row":{"age":.5}}"#, #"{"row":{"age":0x10}}"#, #"{"row":{'age':1}}"#,
        #"{"row":{"age":1,}}"#, #"{"rows":[]}"#, #"{"rows":{}}"#, #"{"rows":"x"}"#,
        #"{"row":{},"row":{}}"#, #"{"row":{},"rows":[{}]}"#, #"{"rows":[{}],"other":1}"#,
        #"{"rows":[{}],"model":7}"#, #"{"rows":[{}],"explain":1}"#,
        #"{"rows":[{}],"explain":true,"explain":true}"#, #"{"rows":[{}]}x"#, #"{"rows":[{}]}{}"#,
        #"// comment\#n{"rows":[{}]}"#, "{\"row\":{\"age\":\"\u{1}\"}}",
        #"{"row":{"age":"\ud800"}}"#, #"{"row":{"age":"\x"}}"#, #"{"row":{"age":tru}}"#,
        #"{"row":{"age":nul}}"#,
    ]) func malformedBodyIs400WithAnError(_ body: String) throws {
        let node = try TestNode()
        try node.deploy()
        let response = node.predict(body)
        #expect(response.status == 400, "\(body): \(response.string)")
        #expect(response.value["error"]?.stringValue?.isEmpty == false)
        #expect(node.log.entries(.prediction).isEmpty)
    }

    @Test func everyTruncationOfAGoodBodyIs400AndNothingElse() throws {
        let node = try TestNode()
        try node.deploy()
        let body = Array(
            #"{"rows":[{"age":63,"chol":null,"sex":"male","cp":"t\u0079pical"}],"model":"heart","explain":true}"#
                .utf8)
        #expect(node.send("POST", "/v1/predict", body, key: node.roleKeys[.predict]).status == 200)
        for count in 0..<body.count {
            #expect(
                node.send(
                    "POST", "/v1/predict", Array(body.prefix(count)), key: node.roleKeys[.predict]
                ).status == 400)
        }
        for index in body.indices {
            var changed = body
            changed[index] = 0xFF
            #expect(
                node.send("POST", "/v1/predict", changed, key: node.roleKeys[.predict]).status
                    == 400)
        }
    }

    @Test func missingValuesFollowTheSchemaAndAreFlagged() throws {
        let node = try TestNode()
        try node.deploy()
        let scores =
            ["null", "0", #""?""#].map { chol in
                node.predict(#"{"row":{"age":63,"chol":\#(chol),"sex":"male","cp":"typical"}}"#)
                    .rows.first
            } + [node.predict(#"{"row":{"age":63,"sex":"male","cp":"typical"}}"#).rows.first]
        for row in scores {
            #expect(row?["flags"] == [["feature": "chol", "flag": "imputed"]])
            #expect(row?["score"] != nil && row?["score"] == scores[0]?["score"])
        }
    }

    @Test func binaryAndCategoricalFeaturesTakeTextNumberAndBool() throws {
        let node = try TestNode()
        try node.deploy()
        let texts = node.predict(
            #"{"rows":[{"age":63,"chol":200,"sex":"male","cp":"none"},{"age":63,"chol":200,"sex":true,"cp":"none"}]}"#
        )
        #expect(texts.rows[0]["score"] != nil && texts.rows[0]["score"] == texts.rows[1]["score"])
    }

    @Test func tooManyRowsOrMembersOrBytesAreRefused() throws {
        let node = try TestNode()
        try node.deploy()
        let rows = Array(repeating: TestModel.goodRow, count: ServingLimits.rows)
        #expect(node.predict(#"{"rows":[\#(rows.joined(separator: ","))]}"#).status == 200)
        #expect(
            node.predict(#"{"rows":[\#((rows + ["{}"]).joined(separator: ","))]}"#).status == 400)
        let members = (0...ServingLimits.rowMembers).map { #""x\#($0)":1"# }.joined(separator: ",")
        #expect(node.predict("{\"row\":{\(members)}}").status == 400)
        let large = node.send(
            "POST", "/v1/predict",
            [UInt8](repeating: 0x20, count: ServingLimits.predictBodyBytes + 1),
            key: node.roleKeys[.predict])
        #expect(large.status == 413 && large.value["error"] != nil)
        let deep = String(repeating: "[", count: 100_000)
        #expect(node.predict(#"{"row":\#(deep)"#).status == 400)
    }

    @Test(arguments: [TestModel.linear, TestModel.linearWithIntercept, TestModel.network])
    func contributionsAndBaseAddUpToTheScore(_ family: ModelFamily) throws {
        let node = try TestNode()
        try node.deploy(family: family, intercept: 0.75)
        let response = node.predict(#"{"row":\#(TestModel.goodRow),"explain":true}"#)
        let row = try #require(response.rows.first)
        let explanation = try #require(row["explanation"])
        let contributions = try #require(explanation["contributions"]?.objectValue)
        #expect(contributions.keys.sorted() == ["age", "chol", "cp", "sex"])
        #expect(explanation["scale"] == "log-odds")
        let total = try contributions.values.reduce(try #require(explanation["base"]?.doubleValue))
        { $0 + (try #require($1.doubleValue)) }
        let residual = try #require(explanation["residual"]?.doubleValue)
        #expect(abs(total + residual - (try #require(row["score"]?.doubleValue))) < 1e-6)
        #expect(abs(residual) < 1e-5)
    }

    @Test func theSitesInterceptMovesTheScoreOnlyWhereTheFamilyHasOne() throws {
        for (family, moves) in [(TestModel.linear, 0.0), (TestModel.linearWithIntercept, 0.75)] {
            let (plain, shifted) = (try TestNode(), try TestNode())
            try plain.deploy(family: family)
            try shifted.deploy(family: family, intercept: 0.75)
            let body = #"{"row":\#(TestModel.goodRow)}"#
            let scores = try [plain, shifted].map {
                try #require($0.predict(body).rows.first?["score"]?.doubleValue)
            }
            #expect(abs(scores[1] - scores[0] - moves) < 1e-6)
        }
    }

    /// Rows may be read before a later member names the model: what is answered does not depend on the order.
    @Test func theOrderOfMembersChangesNothing() throws {
        let node = try TestNode()
        try node.deploy()
        let members = [#""row":\#(TestModel.goodRow)"#, #""rows":[]"#, #""rows":[{"age":1,"age":2}]"#, #""dataframe_split":{"columns":["x"],"data":[[1]]}"#]
        for rows in members {
            for model in ["heart", "nope"] {
                let (first, last) = (node.predict("{\(rows),\"model\":\"\(model)\"}"), node.predict("{\"model\":\"\(model)\",\(rows)}"))
                #expect(first.status == last.status && first.value["error"] == last.value["error"])
                #expect((last.status == 404) == (model == "nope"))
            }
            #expect(node.predict("{\(rows),\"other\":1}").status == 400)
        }
    }

    @Test func theModelIsNamedWhereThereAreSeveral() throws {
        let node = try TestNode()
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).status == 503)
        try node.deploy()
        try node.deploy(name: "second")
        #expect(node.predict(#"{"row":\#(TestModel.goodRow)}"#).status == 400)
        #expect(
            node.predict(#"{"row":\#(TestModel.goodRow),"model":"second"}"#).value["model"]
                == "second")
        #expect(
            node.predict(#"{"model":"heart","row":\#(TestModel.goodRow)}"#).value["model"]
                == "heart")
        #expect(node.predict(#"{"model":"nope","row":\#(TestModel.goodRow)}"#).status == 404)
    }

    @Test func everyRequestIsAnEntryWithCommitmentsOnly() throws {
        let node = try TestNode()
        let package = try node.deploy()
        var firsts: [JSONValue?] = []
        for body in [#"{"row":\#(TestModel.goodRow)}"#, #"{"rows":[\#(TestModel.goodRow)]}"#, #"{"rows":[\#(TestModel.goodRow),\#(TestModel.goodRow)]}"#] {
            firsts.append(node.predict(body).rows.first?["id"])
        }
        let entries = node.log.entries(.prediction)
        #expect(entries.map { $0.details["id"] } == firsts)
        let model = try #require(node.service.deployments.liveModel("heart"))
        for entry in entries {
            #expect(
                entry.payloadDigest == package.digest && entry.model == "heart"
                    && entry.details["version"] == 1)
            #expect(entry.actor.hasPrefix("key:") && entry.site == "basel")
            #expect(entry.details["configuration"]?.stringValue == model.configurationDigest.hex)
            #expect(entry.details["arm"] == "live" && entry.details["propensity"] == "1.0")
        }
        // Equal inputs have different commitments, because each has a salt of its own.
        #expect(entries[0].details["input"] != entries[1].details["input"])
        #expect(entries[0].details["output"] != entries[1].details["output"])
        #expect(entries[2].details["input"] == nil && entries[2].details["rows"] == 2 && entries[2].details["root"] != nil)
    }

    @Test func theConfigurationDigestIsOfWhatWasSet() throws {
        func digest(_ contents: PackageContents, intercept: Double = 0) throws -> Digest {
            try DeployedModel(
                VerifiedPackage.verify(contents, trustedKey: TestNode.key.publicKey), SiteSettings(intercept: intercept)
            ).configurationDigest
        }
        let plain = try digest(TestModel.contents(1))
        #expect(try digest(TestModel.contents(2)) == plain)
        var other = TestModel.statistics
        other.features[0].mean += 1
        let others = [
            try digest(TestModel.contents(1, abstain: 0.4...0.6)), try digest(TestModel.contents(1, calibration: .init(slope: 1, intercept: 0))),
            try digest(TestModel.contents(1, statistics: other)),
            try digest(TestModel.contents(1, family: TestModel.linearWithIntercept), intercept: 0.25),
        ]
        #expect(Set(others + [plain]).count == 5)
    }

    /// Rows that are scored together get the bits that each would get alone.
    @Test func rowsTogetherAreScoredAsEachAlone() throws {
        for family in [TestModel.linear, TestModel.network, .perceptron(hidden: [64, 32], output: .softmax, l2: 0, perSiteIntercept: false)] {
            let model = try DeployedModel(TestModel.package(1, family: family))
            for count in [1, 2, 3, 7, 8, 16, 257, 300] {
                let rows: [[Double]] = (0..<count).map { (index: Int) -> [Double] in
                    let second = index % 5 == 0 ? Double.nan : Double(index) + 0.5
                    return [Double(index % 90), second, Double(index % 2), Double(index % 3)]
                }
                #expect(model.scores(rows.flatMap { $0 }) == rows.map(model.score))
            }
        }
    }
}
