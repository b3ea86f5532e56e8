# Prints what bash offers for each of the lines, one candidate a line, and "--end--" behind those of each.
# offers.bash COMPLETIONS [with BASH-COMPLETION] -- LINE...
source "$1"
shift
if [[ $1 == with ]]; then
    source "$2"
    shift 2
fi
shift
for line; do
    # As readline takes a line apart: = is a word of its own.
    read -ra COMP_WORDS <<<"${line//=/ = }"
    if [[ $line == *' ' ]]; then
        COMP_WORDS+=('')
    fi
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
    _vmmload vmmload "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\n' "${COMPREPLY[@]}" --end--
done
