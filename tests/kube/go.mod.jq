# From `go mod edit -json` of a module to the text of a module that builds its programs as an ordinary dependency. Needed
# where the module replaces others, which `go install` refuses. Kubernetes replaces its own parts by folders that only
# its repository has; they are published under a version of their own ($parts).
def own_part: startswith("k8s.io/");
([.Replace[]? | select(.New.Path | startswith("./")) | .Old.Path]
	+ [.Require[] | select(.Version == "v0.0.0" and (.Path | own_part)) | .Path] | unique) as $folders
| "module foghorn.test/build", "", "go \(.Go)", "",
	"require (", "\t\($path) \($version)",
	(.Require[] | "\t\(.Path) \(.Version)"),
	")", "", "replace (",
	(.Replace[]? | select(.New.Path | startswith("./") | not) | "\t\(.Old.Path) => \(.New.Path) \(.New.Version)"),
	($folders[] | "\t\(.) => \(.) \($parts)"),
	")"
