import Glibc
import Study

/// The few environment variables that the program reads.
enum Environment {
    static subscript(name: String) -> String? {
        // getenv's text is copied at once; nothing in this program changes the environment.
        guard let value = unsafe getenv(name) else { return nil }
        let text = unsafe String(cString: value)
        return text.isEmpty ? nil : text
    }

    /// The proxy for an address, by the usual variables: `https_proxy` unless `no_proxy` names the host.
    static func proxy(for address: String) -> String? {
        guard let url = Environment["https_proxy"] ?? Environment["HTTPS_PROXY"] else { return nil }
        let host = (try? ListenAddress(text: address, path: ""))?.host ?? ""
        let exempt = (Environment["no_proxy"] ?? Environment["NO_PROXY"] ?? "").split(separator: ",").map { $0.filter { $0 != " " } }
        let isExempt = exempt.contains { $0 == "*" || $0 == host || (!$0.isEmpty && host.hasSuffix($0.hasPrefix(".") ? $0 : "." + $0)) }
        return isExempt ? nil : url
    }
}
