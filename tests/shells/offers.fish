# Prints what fish offers for each of the lines, one candidate a line, and "--end--" behind those of each.
# offers.fish COMPLETIONS LINE...
source $argv[1]
for line in $argv[2..]
    complete -C $line | string replace -r '\t.*' ''
    echo --end--
end
