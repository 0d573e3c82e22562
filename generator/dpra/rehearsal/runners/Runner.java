import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Runs a handler of streams once, as Lambda's Java runtimes do: Runner OUT LIBRARIES DEADLINE; the event on standard input. */
public final class Runner {
    private static final Map<String, String> ENV = System.getenv();

    public static void main(String[] arguments) throws Exception {
        ByteArrayOutputStream document = new ByteArrayOutputStream();
        try {
            ByteArrayOutputStream answer = new ByteArrayOutputStream();
            run(answer, Long.parseLong(arguments[2]));
            document.write("{\"result\": ".getBytes());
            document.write(answer.size() > 0 ? answer.toByteArray() : "null".getBytes());
            document.write('}');
        } catch (Throwable error) {
            Throwable cause = error instanceof InvocationTargetException ? error.getCause() : error;
            document.reset();
            document.write(("{\"error\": " + describe(cause) + "}").getBytes(StandardCharsets.UTF_8));
        }
        Files.write(Path.of(arguments[0]), document.toByteArray());
        System.out.flush();
        Runtime.getRuntime().halt(0); // threads of the handler do not keep an invocation open
    }

    private static void run(OutputStream answer, long deadline) throws Exception {
        String[] handler = ENV.get("_HANDLER").split("::");
        String name = handler.length > 1 ? handler[1] : "handleRequest";
        Class<?> type = Class.forName(handler[0]);
        List<Method> named = Arrays.stream(type.getMethods()).filter(method -> method.getName().equals(name)).toList();
        Method method = named.stream().filter(Runner::takesStreams).findFirst().orElseThrow(() ->
            new IllegalArgumentException(named.isEmpty()
                ? "no public method " + name + " in class " + handler[0]
                : "the rehearsal runs Java handlers that take an InputStream and an OutputStream, not " + named.get(0)));
        Object target = Modifier.isStatic(method.getModifiers()) ? null : type.getConstructor().newInstance();
        Class<?>[] wanted = method.getParameterTypes();
        Object[] given = {System.in, answer, wanted.length > 2 ? context(wanted[2], deadline) : null};
        method.invoke(target, Arrays.copyOf(given, wanted.length));
    }

    private static boolean takesStreams(Method method) {
        Class<?>[] types = method.getParameterTypes();
        return (types.length == 2 || types.length == 3 && types[2].getName().endsWith(".Context"))
            && types[0] == InputStream.class && types[1] == OutputStream.class;
    }

    /** The package brings the interface along; its logger prints. */
    private static Object context(Class<?> type, long deadline) {
        return Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, given) ->
            switch (method.getName()) {
                case "getRemainingTimeInMillis" -> (int) (deadline - System.currentTimeMillis());
                case "getMemoryLimitInMB" -> 128;
                case "getFunctionVersion" -> ENV.get("AWS_LAMBDA_FUNCTION_VERSION");
                case "getLogger" -> context(method.getReturnType(), deadline);
                case "log" -> {
                    System.out.println(given[0] instanceof byte[] bytes ? new String(bytes, StandardCharsets.UTF_8) : given[0]);
                    yield null;
                }
                default -> method.getReturnType() == String.class ? ENV.get("AWS_LAMBDA_FUNCTION_NAME") : null;
            });
    }

    private static String describe(Throwable error) {
        String trace = Arrays.stream(error.getStackTrace()).map(frame -> quote("\tat " + frame)).collect(Collectors.joining(", "));
        return "{\"errorMessage\": " + quote(error.getMessage()) + ", \"errorType\": " + quote(error.getClass().getName())
            + ", \"stackTrace\": [" + trace + "]}";
    }

    private static String quote(String text) {
        return text == null ? "null" : text.chars()
            .mapToObj(letter -> letter < 32 || letter == '"' || letter == '\\' ? String.format("\\u%04x", letter) : "" + (char) letter)
            .collect(Collectors.joining("", "\"", "\""));
    }
}
