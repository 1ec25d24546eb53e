import Storage

/// The study plan of the scenario.
func readPlan() throws -> [UInt8] { try DurableFile.read(packageRoot + "/scenarios/plans/heart-disease.json5", maxBytes: 1 << 20) }
