// Requests a second beside nginx serving a file of 200 bytes: TLS 1.3 for both, 16 kept connections each, the same load generator,
// the same two cores, rounds in turn.

import Cryptography
import Glibc
import HTTP
import Simulation
import Storage
import Study

enum NginxComparison {
    private static let program = "/usr/sbin/nginx"
    private static let connections = 16
    private static let rounds = 3
    private static let port = 18_443

    static func run() throws {
        guard DurableFile.exists(program) else {
            print("beside nginx: skipped, \(program) is not there: apt-get install nginx-light")
            return
        }
        try Bench.inTemporaryDirectory { directory in
            let authority = try startFiles(directory)
            let nginx = try ChildProcess(program, ["-p", directory, "-c", directory + "/nginx.conf", "-g", "daemon off;"], logPath: directory + "/nginx.log")
            defer { nginx.stop() }
            usleep(500_000)
            let address = try ListenAddress(text: "127.0.0.1:\(port)", path: "nginx")
            let file = HTTPRequest(method: "GET", target: "/file")
            try ServingBenchmark.withNode { node in
                print("requests a second beside nginx, file of 200 bytes, TLS 1.3 for both, \(connections) kept connections:")
                var shares: [Int] = []
                for _ in 0..<rounds {
                    let theirs = try ClosedLoad.run(address, authority, file, connections: connections, seconds: 5)
                    let ours = try node.load(ServingBenchmark.single(node.key), connections: connections, seconds: 5)
                    shares.append(100 * ours.times.count / max(1, theirs.times.count))
                    print("  nginx      \(theirs.line)")
                    print("  consilium  \(ours.line): \(shares.last ?? 0) %")
                }
                print("  median \(shares.sorted()[rounds / 2]) % of nginx")
            }
        }
    }

    /// Writes certificate, file and configuration.
    private static func startFiles(_ directory: String) throws -> Certificate {
        let now = Int64(time(nil))
        let authority = try CertificateAuthority.create(name: "Bench", now: now, days: 2)
        let key = CertificateKey.generate()
        let leaf = try authority.issueServer(key: key, hosts: ["127.0.0.1"], now: now, lifetimeSeconds: 86_400)
        try DurableFile.writeAtomically(Array((leaf.pem + authority.certificate.pem).utf8), to: directory + "/server.pem")
        try DurableFile.writeAtomically(try key.pem().exposedCopy(), to: directory + "/server.key")
        try DurableFile.createDirectory(directory + "/www", mode: 0o755)
        try DurableFile.writeAtomically([UInt8](repeating: UInt8(ascii: "x"), count: 200), to: directory + "/www/file", mode: 0o644)
        let configuration = """
            user root;
            worker_processes 2;
            pid \(directory)/nginx.pid;
            error_log \(directory)/error.log;
            events { worker_connections 256; }
            http {
              access_log off;
              keepalive_requests 1000000000;
              server {
                listen 127.0.0.1:\(port) ssl;
                ssl_certificate \(directory)/server.pem;
                ssl_certificate_key \(directory)/server.key;
                ssl_protocols TLSv1.3;
                root \(directory)/www;
              }
            }
            """
        try DurableFile.writeAtomically(Array(configuration.utf8), to: directory + "/nginx.conf")
        return authority.certificate
    }
}
