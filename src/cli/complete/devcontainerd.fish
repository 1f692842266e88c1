# Completion of devcontainerd for fish.
function __devcontainerd_complete
    set -l words (commandline -opc)
    set -l begun (commandline -ct)
    set -l candidates ($words[1] __complete $words[2..-1] "$begun" 2>/dev/null)
    if set -q candidates[1]
        printf '%s\n' $candidates
    else
        __fish_complete_path "$begun"
    end
end
complete -c devcontainerd -f -a '(__devcontainerd_complete)'
