#compdef devcontainerd
# Completion of devcontainerd for zsh.
_devcontainerd() {
    local -a candidates
    local candidate meaning
    while IFS=$'\t' read -r candidate meaning; do
        candidates+=("${candidate//:/\\:}:$meaning")
    done < <("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    if (( $#candidates )); then _describe devcontainerd candidates; else _files; fi
}
if [[ $funcstack[1] == _devcontainerd ]]; then _devcontainerd; else compdef _devcontainerd devcontainerd; fi
