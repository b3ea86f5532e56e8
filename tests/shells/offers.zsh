# Prints what zsh offers for a line, one candidate a line: has a zsh of its own complete it at a terminal, as the
# completion system works nowhere else. offers.zsh DIRECTORY-OF-_vmmload LINE [COMMANDS-BEFORE]
zmodload zsh/zpty
zpty shell zsh -f -i
() {
    zpty -w shell "source $1"
    local text
    repeat 100; do
        zpty -r shell text
        [[ $text == *is-ready* ]] && return
    done
} =( <<<"
PROMPT=
fpath=(${(q)1} \$fpath)
autoload -U compinit
compinit -u -D
${3-}
bindkey '^I' complete-word
zstyle ':completion:*' insert-tab false
# What is between the marks is what is offered.
mark() { print -r -- \$'\\0' }
compprefuncs=(mark)
comppostfuncs=(mark exit)
compadd() {
    if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then
        builtin compadd \"\$@\"
        return
    fi
    local -a candidates
    builtin compadd -A candidates \"\$@\"
    builtin compadd \"\$@\"
    print -rl -- \$candidates
}
print is-ready")
zpty -w shell "$2"$'\t'
integer marks=0
while zpty -r shell; do :; done | while IFS= read -r line; do
    if [[ $line == *$'\0'* ]]; then
        ((marks++)) && exit
    elif ((marks)) && [[ -n ${line%$'\r'} ]]; then
        print -r -- ${line%$'\r'}
    fi
done
