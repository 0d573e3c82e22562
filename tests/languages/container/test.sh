result=$(/bin/busybox sh /total.sh 2 3)
if [ "$result" = 6 ]; then failure=""; else failure="<failure message='got $result'/>"; fi
echo "<testsuite><testcase classname='shop' name='three cost three times as much'>$failure</testcase></testsuite>" > "$JUNIT_FILE"
[ "$result" = 6 ]
